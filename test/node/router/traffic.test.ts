import { describe, expect, test } from 'vitest';
import { arrive, interruption, noTraffic, type Traffic } from '../../../functions/router/traffic.js';
import { poisson } from '../../load/arrivals.js';
import { seededRandom } from '../../load/seeded.js';

/** A minute of requests of one kind; ends with the last of them. */
function minuteOf({ perSecond, budgetMs, workMs }: { perSecond: number; budgetMs: number; workMs: number }): Traffic {
  return poisson(perSecond, 60_000, seededRandom(1)).reduce((traffic, atMs) => arrive(traffic, atMs, budgetMs, workMs), noTraffic(0));
}

const END_MS = 60_000;

/** How long one worker serves others before it has done `neededMs` for a request with `leftMs`: medians and spread of many runs. */
function simulated({ perSecond, budgetMs, workMs }: { perSecond: number; budgetMs: number; workMs: number }, neededMs: number, leftMs: number) {
  const random = seededRandom(7);
  const runs = Array.from({ length: 2_000 }, () => {
    let endMs = neededMs;
    for (const atMs of poisson(perSecond, leftMs, random)) if (atMs < endMs && atMs + budgetMs < leftMs) endMs += workMs;
    return endMs - neededMs;
  }).toSorted((a, b) => a - b);
  return { medianMs: runs[1_000]!, p95Ms: runs[1_900]! };
}

describe('interruption', () => {
  test('is not expected where nobody came, nor from those who have more time left', () => {
    expect(interruption(noTraffic(0), 1, 0, 200, 1_000)).toEqual({ medianMs: 0, deviationMs: 0 });
    expect(interruption(minuteOf({ perSecond: 10, budgetMs: 2_000, workMs: 50 }), 1, END_MS, 200, 1_000)).toEqual({ medianMs: 0, deviationMs: 0 });
  });

  test('is expected as a worker that serves the earliest deadline first is in fact interrupted', () => {
    for (const traffic of [
      { perSecond: 10, budgetMs: 50, workMs: 20 },
      { perSecond: 20, budgetMs: 100, workMs: 15 },
      { perSecond: 4, budgetMs: 50, workMs: 100 },
    ]) {
      const expected = interruption(minuteOf(traffic), 1, END_MS, 400, 3_000);
      const { medianMs, p95Ms } = simulated(traffic, 400, 3_000);
      expect(Math.abs(expected.medianMs - medianMs)).toBeLessThan(0.2 * 400);
      expect(Math.abs(expected.medianMs + 1.645 * expected.deviationMs - p95Ms)).toBeLessThan(0.35 * 400);
    }
  });

  test('is none in the middle of all cases while most see nobody come', () => {
    const { medianMs, deviationMs } = interruption(minuteOf({ perSecond: 1, budgetMs: 50, workMs: 50 }), 1, END_MS, 100, 1_000);
    expect(medianMs).toBe(0);
    expect(deviationMs).toBeGreaterThan(5);
  });

  test('never leaves a request less than nothing, however much comes, and is forgotten when nobody comes any more', () => {
    const flood = minuteOf({ perSecond: 500, budgetMs: 20, workMs: 100 });
    const { medianMs } = interruption(flood, 1, END_MS, 100, 1_000);
    expect(medianMs).toBeGreaterThan(0);
    expect(medianMs).toBeLessThanOrEqual(1_000);
    const later = interruption(minuteOf({ perSecond: 10, budgetMs: 50, workMs: 20 }), 1, END_MS + 60_000, 400, 3_000);
    expect(later.medianMs).toBe(0);
  });

  test('is shared by the workers', () => {
    const traffic = minuteOf({ perSecond: 20, budgetMs: 50, workMs: 20 });
    expect(interruption(traffic, 2, END_MS, 400, 3_000).medianMs).toBeLessThan(0.6 * interruption(traffic, 1, END_MS, 400, 3_000).medianMs);
  });
});
