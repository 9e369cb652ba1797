import { describe, expect, test } from 'vitest';
import { Pace } from '../../functions/engine/pace.js';

const seeded = () => new Pace({ prefillPatchMs: 0.5, decodePatchMs: 2 });

function observeDecodes(pace: Pace, ...ms: number[]): void {
  for (const each of ms) pace.observe({ texts: 1, patches: 1, decodes: true, ms: each });
}

describe('the pace of a tier', () => {
  test('is what its manifest says until it has been measured', () => {
    expect(seeded().likelyMs(1)).toBe(2);
    expect(seeded().cautiousMs(11)).toBe(2 + 10 * 0.5);
  });

  test('follows a machine that becomes slower, and one that recovers', () => {
    const pace = seeded();
    observeDecodes(pace, ...Array<number>(16).fill(8));
    expect([pace.likelyMs(1), pace.cautiousMs(1)]).toEqual([8, 8]);
    observeDecodes(pace, ...Array<number>(16).fill(1));
    expect([pace.likelyMs(1), pace.cautiousMs(1)]).toEqual([1, 1]);
  });

  test('forgives two accidents, and is cautious of the third', () => {
    const pace = seeded();
    observeDecodes(pace, 90, 70);
    expect(pace.cautiousMs(1)).toBe(2);
    observeDecodes(pace, 50);
    expect(pace.cautiousMs(1)).toBe(50);
    expect(pace.likelyMs(1)).toBe(2);
  });

  test('learns the cost of a prompt from long chunks only, whether or not they decode', () => {
    const pace = seeded();
    for (let run = 0; run < 16; run += 1) pace.observe({ texts: 1, patches: 2, decodes: true, ms: 400 });
    expect(pace.likelyMs(101)).toBe(2 + 100 * 0.5);
    for (let run = 0; run < 16; run += 1) pace.observe({ texts: 1, patches: 64, decodes: false, ms: 64 });
    expect(pace.likelyMs(101)).toBe(2 + 100);
    for (let run = 0; run < 16; run += 1) pace.observe({ texts: 1, patches: 50, decodes: true, ms: 2 + 100 });
    expect(pace.likelyMs(101)).toBe(2 + 200);
  });

  test('learns what scoring adds to reading from runs that score, and from them nothing else', () => {
    const pace = seeded();
    const unscoredMs = pace.likelyMs(100);
    for (let run = 0; run < 16; run += 1) pace.observe({ texts: 1, patches: 16, scored: 10, decodes: false, ms: 16 * 0.5 + 10 * 3 });
    expect(pace.likelyMs(100)).toBe(unscoredMs);
    expect(pace.likelyMs(100, 20)).toBe(unscoredMs + 20 * 3);
  });

  test('knows what further texts add to a run, and what a run would have been without them', () => {
    const pace = seeded();
    let aloneMs = 0;
    for (let run = 0; run < 16; run += 1) aloneMs = pace.observe({ texts: 5, patches: 1, decodes: true, ms: 6 });
    expect([1, 2, 9].map((texts) => pace.likelySharedMs(texts))).toEqual([2, 3, 10]);
    expect(aloneMs).toBe(2);
    expect(pace.likelyMs(1)).toBe(2);
    // Of a run that took twice as long, so would the one alone have.
    expect(pace.observe({ texts: 5, patches: 1, decodes: true, ms: 12 })).toBe(4);
  });

  test('yields when it is doubted, so that a wrong estimate cannot stop all runs for good', () => {
    const pace = seeded();
    observeDecodes(pace, ...Array<number>(16).fill(1000));
    for (let doubts = 0; doubts < 10; doubts += 1) pace.doubt();
    expect(pace.likelyMs(1)).toBeLessThan(1);
  });
});
