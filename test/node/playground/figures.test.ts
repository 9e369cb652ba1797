import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { budgetMsAt, positionOf, shownMs } from '../../../functions/playground/budget.js';
import { bins } from '../../../functions/playground/histogram.js';

describe('the budget slider', () => {
  test('spans 20 ms to 5 s in even factors, in round figures', () => {
    expect([0, 0.25, 0.5, 0.75, 1].map(budgetMsAt)).toEqual([20, 80, 320, 1_300, 5_000]);
  });

  test('comes back to the budget it was set to', () => {
    for (const ms of [20, 80, 300, 600, 4_000]) expect(budgetMsAt(positionOf(ms))).toBe(ms);
  });

  test('shows a time in its unit', () => {
    expect([7.25, 84.6, 999, 1_000, 12_340].map(shownMs)).toEqual(['7.3 ms', '85 ms', '999 ms', '1.00 s', '12.3 s']);
  });
});

describe('the histogram', () => {
  const sample = fc.record({ tier: fc.constantFrom('a', 'b'), ms: fc.double({ min: 0.2, max: 1e4, noNaN: true }) });

  test('counts every answer once, in the bin of its time', () => {
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 40 }), (samples) => {
        const all = bins(samples, ['a', 'b']);
        for (const { fromMs, toMs, counts } of all) {
          const inside = samples.filter(({ ms }) => ms >= fromMs * 0.999 && ms < toMs * 1.001);
          expect(counts[0]! + counts[1]!).toBeLessThanOrEqual(inside.length);
        }
        expect(all.flatMap(({ counts }) => counts).reduce((sum, count) => sum + count, 0)).toBe(samples.length);
      }),
    );
  });

  test('has no bins of no answers', () => expect(bins([], ['a'])).toEqual([]));
});
