import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { GenerateResult } from '../../../functions/engine/types.js';
import { batchFactor, learnBatch, UNBATCHED } from '../../../functions/router/batch.js';
import { costMs, guess, learn } from '../../../functions/router/cost.js';
import { driftFactor, learnDrift, noDrift } from '../../../functions/router/drift.js';
import { learnLength, type LengthClass, lengthPrior, lengthQuantile, patchesFor } from '../../../functions/router/length.js';
import { learnBetween, learnCompute, margin, predictCompute, seedModel } from '../../../functions/router/predict.js';
import { quantile, recentFrom, remember } from '../../../functions/router/recent.js';
import { VirtualEngine } from './virtual-engine.js';
import { seededRandom } from '../../load/seeded.js';
import { TIERS } from './virtual-load.js';

describe('costs', () => {
  test('are learnt from a hundred mixed runs, though each was guessed up to five times too high or too low', () => {
    const price = fc.double({ min: 0.1, max: 20, noNaN: true });
    const mistake = fc.double({ min: 0.2, max: 5, noNaN: true });
    fc.assert(
      fc.property(price, price, mistake, mistake, fc.integer(), (a, b, mistakeA, mistakeB, seed) => {
        const random = seededRandom(seed);
        let cost = guess([a * mistakeA, b * mistakeB], 1);
        for (let run = 0; run < 100; run += 1) {
          const counts = [1 + Math.floor(random() * 20), 1 + Math.floor(random() * 20)] as const;
          cost = learn(cost, counts, (a * counts[0] + b * counts[1]) * (0.95 + 0.1 * random()));
        }
        const truth = a * 10 + b * 10;
        expect(Math.abs(costMs(cost, [10, 10]) / truth - 1)).toBeLessThan(0.1);
      }),
      { numRuns: 60 },
    );
  });

  test('stay positive and finite under absurd measurements', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(100), fc.nat(100), fc.double({ min: 0, max: 1e9, noNaN: true }))), (runs) => {
        const cost = runs.reduce((cost, [x, y, ms]) => learn(cost, [x, y], ms), guess([1, 1], 1));
        for (const per of cost.per) expect(per > 0 && Number.isFinite(per)).toBe(true);
      }),
    );
  });
});

describe('drift', () => {
  test('believes in a machine twice as slow within four requests', () => {
    let drift = noDrift(2);
    for (let run = 0; run < 4; run += 1) drift = learnDrift(drift, 'stlm-10m', 0, 0, 2);
    expect(driftFactor(drift, 'stlm-10m', 0, 0)).toBeGreaterThan(1.7);
  });

  test('of a worker carries over to tiers that have not run since, and not to other workers', () => {
    let drift = noDrift(2);
    for (let run = 0; run < 6; run += 1) drift = learnDrift(drift, 'stlm-10m', 0, 0, 2);
    expect(driftFactor(drift, 'stlm-100m', 0, 0)).toBeGreaterThan(1.5);
    expect(driftFactor(drift, 'stlm-100m', 1, 0)).toBe(1);
  });

  test('is not thrown off by a single hiccup of a hundredfold', () => {
    expect(driftFactor(learnDrift(noDrift(1), 'stlm-10m', 0, 0, 100), 'stlm-10m', 0, 0)).toBeLessThan(1.4);
  });

  test('learns what workers cost each other', () => {
    let drift = noDrift(2);
    for (let run = 0; run < 300; run += 1) drift = learnDrift(drift, 'stlm-10m', run % 2, run % 3 === 0 ? 1 : 0, run % 3 === 0 ? 1.6 : 1);
    const alone = driftFactor(drift, 'stlm-10m', 0, 0);
    expect(driftFactor(drift, 'stlm-10m', 0, 1) / alone).toBeCloseTo(1.6, 1);
    expect(alone).toBeCloseTo(1, 1);
  });
});

describe('shared runs', () => {
  test('cost what they turn out to cost: the factor of any number of rows follows what was measured with others', () => {
    let cost = UNBATCHED;
    for (let text = 0; text < 60; text += 1) cost = learnBatch(cost, 2 + (text % 5), 1 + 0.2 * (1 + (text % 5)));
    expect(batchFactor(cost, 1)).toBe(1);
    expect(batchFactor(cost, 16)).toBeCloseTo(4, 1);
  });

  test('teach nothing where a text was as good as alone', () => {
    expect(learnBatch(UNBATCHED, 1, 3)).toBe(UNBATCHED);
    expect(learnBatch(UNBATCHED, 1.1, 3)).toBe(UNBATCHED);
  });
});

describe('lengths', () => {
  const stopped = { bytes: 100, patches: 20, endedByItself: true };

  test('are max_tokens while no text is known to end by itself', () => {
    expect(lengthQuantile(lengthPrior(5), 256, 0.95)).toBe(256);
  });

  test('shrink to what texts turn out to need', () => {
    let model = lengthPrior(5);
    for (let text = 0; text < 200; text += 1) model = learnLength(model, stopped);
    expect(lengthQuantile(model, 4_096, 0.95)).toBeLessThan(1_000);
    expect(lengthQuantile(model, 10, 0.95)).toBe(10);
  });

  test('cut by max_tokens say nothing of where a text would have ended', () => {
    let model = lengthPrior(5);
    for (let text = 0; text < 200; text += 1) model = learnLength(model, { bytes: 16, patches: 4, endedByItself: false });
    expect(lengthQuantile(model, 4_096, 0.95)).toBe(4_096);
  });

  test('in patches follow what a tier packs into one', () => {
    let model = lengthPrior(5);
    // 64 bytes in 8.5 patches: eight whole ones and the one it was cut in.
    for (let text = 0; text < 200; text += 1) model = learnLength(model, { bytes: 64, patches: 8.5, endedByItself: false });
    expect(patchesFor(model, 64)).toBeCloseTo(8.5, 1);
    expect(patchesFor(model, 640)).toBeCloseTo(80.5, 0);
  });
});

describe('recent values', () => {
  test('forget the prior once a window of measurements has come', () => {
    let recent = recentFrom([9, 9, 9]);
    for (let value = 0; value < 64; value += 1) recent = remember(recent, 1);
    expect(quantile(recent, 0.95)).toBe(1);
  });

  test('have quantiles between their least and greatest, and rising', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const recent = recentFrom(values);
        const marks = [0, 0.25, 0.5, 0.95, 1].map((share) => quantile(recent, share));
        expect(marks).toEqual(marks.toSorted((a, b) => a - b));
        expect(marks[0]).toBe(recent.ordered[0]);
        expect(marks[4]).toBe(recent.ordered.at(-1));
      }),
    );
  });
});

describe('the latency model', () => {
  const { manifests } = new VirtualEngine({ workers: 2, tiers: TIERS, seedFactor: 1, slowdownAt: () => 1, sharing: 1, random: seededRandom(1) });
  const work = { promptPatches: 30, maxBytes: 54, lengthClass: 'plain' } as const;

  /** A text of 54 bytes in 10.5 patches on a machine so many times slower than the seeds say. */
  function measured(tier: string, slower: number): GenerateResult {
    const costs = TIERS.find(({ id }) => id === tier)!;
    const prefillMs = slower * (costs.decodePatchMs + 30 * costs.prefillPatchMs);
    const decodeMs = slower * 9.5 * costs.decodePatchMs;
    const timings = { queueMs: 0, loadMs: 0, prefillMs, decodeMs, decodeAloneMs: decodeMs, coreMs: 0, firstByteMs: prefillMs };
    return { stopCause: 'length', promptPatches: 30, cachedPatches: 0, cachedBytes: 0, completionBytes: 54, decodedPatches: 10.5, contextTruncated: false, meanBatch: 1, timings };
  }
  const total = ({ timings }: GenerateResult) => timings.prefillMs + timings.decodeMs;
  const observe = (model: ReturnType<typeof seedModel>, tier: string, slower: number) =>
    learnCompute(model, { placement: { tier, worker: 0 }, lengthClass: 'plain', othersBusy: 0, result: measured(tier, slower) });
  const predicted = (model: ReturnType<typeof seedModel>, tier: string, worker = 0) => {
    const { prefillMs, decodeMs } = predictCompute(model, { tier, worker }, work, 0);
    return prefillMs + decodeMs;
  };

  test('takes the level of every tier from the first one measured on this machine', () => {
    const seed = seedModel(manifests, 2);
    const model = observe(seed, 'stlm-10m', 4);
    for (const { id } of TIERS) expect(predicted(model, id) / predicted(seed, id)).toBeCloseTo(4, 0);
  });

  test('is within 15 % after three requests on a machine that turned twice as slow, for every tier on every measured worker', () => {
    let model = seedModel(manifests, 2);
    for (const { id } of TIERS) for (let run = 0; run < 10; run += 1) model = observe(model, id, 1);
    for (let run = 0; run < 3; run += 1) model = observe(model, 'stlm-50m', 2);
    expect(Math.abs(predicted(model, 'stlm-50m') / total(measured('stlm-50m', 2)) - 1)).toBeLessThan(0.15);
    expect(predicted(model, 'stlm-10m') / total(measured('stlm-10m', 1))).toBeGreaterThan(1.4);
    for (let run = 0; run < 12; run += 1) model = observe(model, 'stlm-10m', 2);
    expect(Math.abs(predicted(model, 'stlm-10m') / total(measured('stlm-10m', 2)) - 1)).toBeLessThan(0.15);
  });

  test('widens its margin on a machine that cannot make up its mind', () => {
    let steady = seedModel(manifests, 2);
    let restless = steady;
    for (let run = 0; run < 64; run += 1) {
      steady = observe(steady, 'stlm-10m', 1);
      restless = observe(restless, 'stlm-10m', run % 5 === 0 ? 1.6 : 1);
    }
    expect(margin(steady, 'stlm-10m')).toBeLessThan(1.1);
    expect(margin(restless, 'stlm-10m')).toBeGreaterThan(1.3);
  });

  test('adds what passes between runs, and does not take a slow reader for it', () => {
    const seed = seedModel(manifests, 2);
    const text = measured('stlm-10m', 1);
    let model = seed;
    // A fifth of a millisecond a patch, on 10.5 patches.
    for (let run = 0; run < 100; run += 1) model = learnBetween(model, { ...text, timings: { ...text.timings, queueMs: 2.1 } });
    const more = predictCompute(model, { tier: 'stlm-10m', worker: 0 }, { ...work, maxBytes: 540 }, 0);
    const before = predictCompute(seed, { tier: 'stlm-10m', worker: 0 }, { ...work, maxBytes: 540 }, 0);
    expect(more.decodeMs - before.decodeMs).toBeGreaterThan(3);
    expect(learnBetween(model, { ...text, timings: { ...text.timings, queueMs: 9_000 } })).toBe(model);
  });

  test('does not learn from a text that never got its first patch', () => {
    const model = seedModel(manifests, 2);
    const result = { ...measured('stlm-10m', 9), decodedPatches: 0, completionBytes: 0 };
    expect(learnCompute(model, { placement: { tier: 'stlm-10m', worker: 0 }, lengthClass: 'plain', othersBusy: 0, result })).toBe(model);
  });

  test('learns the lengths of chats, of texts with a stop string and of all others apart', () => {
    let model = seedModel(manifests, 2);
    const placement = { tier: 'stlm-10m', worker: 0 };
    const turn = { ...measured('stlm-10m', 1), stopCause: 'eod' } as const;
    for (let run = 0; run < 60; run += 1) model = learnCompute(model, { placement, lengthClass: 'chat', othersBusy: 0, result: turn });
    const plannedBytes = (lengthClass: LengthClass) => predictCompute(model, placement, { ...work, maxBytes: 1_000, lengthClass }, 0).plannedBytes;
    expect(plannedBytes('chat')).toBeLessThan(600);
    expect(plannedBytes('stop')).toBe(1_000);
    expect(plannedBytes('plain')).toBe(1_000);
  });

  const placement = { tier: 'stlm-10m', worker: 0 };
  const trained = () => {
    let model = seedModel(manifests, 2);
    for (let run = 0; run < 20; run += 1) model = observe(model, 'stlm-10m', 1);
    return model;
  };

  test('expects a prompt of which a part is cached to cost what is left of it, and learns from one as from a shorter one', () => {
    const model = trained();
    const long = predictCompute(model, placement, { ...work, promptPatches: 300 }, 0);
    const cached = predictCompute(model, placement, { ...work, promptPatches: 300, cachedPatches: 270 }, 0);
    const short = predictCompute(model, placement, { ...work, promptPatches: 30 }, 0);
    expect(long.prefillMs).toBeGreaterThan(3 * short.prefillMs);
    expect(cached.prefillMs).toBeCloseTo(short.prefillMs, 6);
    expect(cached.decodeMs).toBeGreaterThan(short.decodeMs);
    const result = { ...measured('stlm-10m', 1), promptPatches: 300, cachedPatches: 270 };
    let after = model;
    for (let run = 0; run < 20; run += 1) after = learnCompute(after, { placement, lengthClass: 'plain', othersBusy: 0, result });
    expect(predictCompute(after, placement, work, 0).prefillMs / predictCompute(model, placement, work, 0).prefillMs).toBeCloseTo(1, 1);
  });

  test('adds what scoring costs to the reading of a prompt, learns it from those that were scored, and nothing else', () => {
    const before = trained();
    const plain = predictCompute(before, placement, work, 0);
    const scored = { ...work, scoredPatches: 30, maxBytes: 0 };
    const { timings, ...rest } = measured('stlm-10m', 1);
    const perPatchMs = 0.7;
    const result = { ...rest, scoredPatches: 30, decodedPatches: 0, completionBytes: 0, timings: { ...timings, prefillMs: timings.prefillMs + 30 * perPatchMs, decodeMs: 0, decodeAloneMs: 0 } };
    let model = before;
    for (let run = 0; run < 20; run += 1) model = learnCompute(model, { placement, lengthClass: 'plain', othersBusy: 0, result });
    const more = predictCompute(model, placement, scored, 0).prefillMs - plain.prefillMs;
    expect(more / (30 * perPatchMs)).toBeCloseTo(1, 1);
    expect(predictCompute(model, placement, work, 0)).toEqual(plain);
    expect(learnCompute(model, { placement, lengthClass: 'plain', othersBusy: 0, result: { ...result, stopCause: 'deadline' } })).toBe(model);
  });

  test('foresees the windows in which a prompt beyond the context is scored, whatever of it is cached', () => {
    const model = trained();
    const context = manifests[0]!.context.patches;
    const cost = (scoredPatches: number, cachedPatches = 0) => predictCompute(model, placement, { ...work, promptPatches: context / 2, scoredPatches, cachedPatches }, 0).prefillMs;
    expect(cost(2 * context) / cost(context)).toBeGreaterThan(2);
    expect(cost(2 * context, 40)).toBe(cost(2 * context));
  });

  test('plans no more text than so many words may have', () => {
    const model = trained();
    const words = predictCompute(model, placement, { ...work, maxBytes: 1_000, maxWords: 10 }, 0);
    expect(words.plannedBytes).toBeGreaterThan(40);
    expect(words.plannedBytes).toBeLessThan(70);
    expect(predictCompute(model, placement, { ...work, maxBytes: 20, maxWords: 10 }, 0).plannedBytes).toBe(20);
  });

  test('takes what others in the same runs add for theirs, and foresees it for runs that will be shared', () => {
    let model = trained();
    const { timings, ...rest } = measured('stlm-10m', 1);
    const result = { ...rest, meanBatch: 5, timings: { ...timings, decodeMs: 1.8 * timings.decodeMs, decodeAloneMs: timings.decodeMs } };
    for (let run = 0; run < 60; run += 1) model = learnCompute(model, { placement, lengthClass: 'plain', othersBusy: 0, result });
    const alone = predictCompute(model, placement, work, 0);
    const before = predictCompute(trained(), placement, work, 0);
    expect(alone.decodeMs / before.decodeMs).toBeCloseTo(1, 1);
    expect(predictCompute(model, placement, { ...work, rows: 5 }, 0).stepMs / alone.stepMs).toBeCloseTo(1.8, 1);
  });

  test('foresees that a text which outgrows its context reads half of it again, and is not misled when it does', () => {
    const model = trained();
    const context = manifests[0]!.context.patches;
    const fits = { ...work, promptPatches: context - 60, maxBytes: 270 };
    const slides = { ...fits, promptPatches: context - 20 };
    const perPatchMs = TIERS[0]!.prefillPatchMs;
    const more = predictCompute(model, placement, slides, 0).decodeMs - predictCompute(model, placement, fits, 0).decodeMs;
    expect(more / (perPatchMs * (context / 2))).toBeGreaterThan(0.7);
    expect(more / (perPatchMs * (context / 2))).toBeLessThan(1.4);
  });

  test('plans no further than the context for a text that ends with it', () => {
    const model = trained();
    const context = manifests[0]!.context.patches;
    const asked = { ...work, promptPatches: context - 20, maxBytes: 4_000 };
    const open = predictCompute(model, placement, asked, 0);
    const ends = predictCompute(model, placement, { ...asked, endsWithContext: true }, 0);
    const twenty = predictCompute(model, placement, { ...asked, maxBytes: ends.plannedBytes }, 0);
    expect(ends.plannedBytes).toBeLessThan(200);
    expect(ends.decodeMs).toBe(twenty.decodeMs);
    expect(open.decodeMs).toBeGreaterThan(10 * ends.decodeMs);
    // There is always one patch.
    expect(predictCompute(model, placement, { ...asked, promptPatches: context, endsWithContext: true }, 0).plannedBytes).toBeGreaterThan(0);
  });

  test('expects a text to be as long as half of them are, and plans for one as long as nearly all', () => {
    let model = trained();
    for (let run = 0; run < 60; run += 1) {
      model = learnCompute(model, { placement, lengthClass: 'chat', othersBusy: 0, result: { ...measured('stlm-10m', 1), stopCause: 'eod' } });
    }
    const { decodeMs, usualDecodeMs } = predictCompute(model, placement, { ...work, maxBytes: 4_000, lengthClass: 'chat' }, 0);
    expect(decodeMs / usualDecodeMs).toBeGreaterThan(3);
    const bounded = predictCompute(model, placement, { ...work, maxBytes: 10, lengthClass: 'chat' }, 0);
    expect(bounded.usualDecodeMs).toBe(bounded.decodeMs);
  });
});
