import { describe, expect, test } from 'vitest';
import { routerFigures } from '../../bench/router-figures.js';
import { largestFeasible, measureServiceTime, serviceMs, type ServiceTime } from '../../bench/service-times.js';
import { quantile, spread } from '../../bench/statistics.js';
import type { Answer, Client, CompletionRequest } from '../../load/client.js';
import { closedLoop } from '../../load/closed-loop.js';
import { mixedRequest } from '../../load/mix.js';
import { openLoop } from '../../load/open-loop.js';
import { seededRandom } from '../../load/seeded.js';

const ORACLE: ServiceTime[] = [
  { tier: 'stlm-10m', coefficients: [2, 0.05, 0.2] },
  { tier: 'stlm-100m', coefficients: [10, 0.5, 1] },
];

function answered(tier: string, latencyMs: number, { expectedMs = latencyMs, predictedMs = latencyMs, stopCause = 'length' } = {}): Answer {
  const report = { tier, expected_ms: expectedMs, predicted_ms: predictedMs, actual_ms: latencyMs, stop_cause: stopCause, route_reason: 'fits' };
  return { status: 200, latencyMs, completionBytes: 8, report: report as Answer['report'], retryAfterMs: undefined };
}

function refused(status: number, latencyMs: number): Answer {
  return { status, latencyMs, completionBytes: 0, report: undefined, retryAfterMs: 50 };
}

describe('the mix', () => {
  test('is the same for the same seed, inside its bounds, and as often tight as wide', () => {
    const draw = (seed: number) => {
      const random = seededRandom(seed);
      return Array.from({ length: 500 }, () => mixedRequest(random));
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    for (const { prompt, maxTokens, budgetMs } of draw(1)) {
      expect(prompt.length >= 20 && prompt.length <= 2_000 && maxTokens >= 8 && maxTokens <= 256 && budgetMs >= 30 && budgetMs <= 3_000).toBe(true);
    }
    const tight = draw(1).filter(({ budgetMs }) => budgetMs < 300).length;
    expect(tight).toBeGreaterThan(200);
    expect(tight).toBeLessThan(300);
  });
});

describe('an open loop', () => {
  test('does not wait for answers, and stops at its number of requests', async () => {
    let inFlight = 0;
    let most = 0;
    const send = async () => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setTimeout(resolve, 50));
      inFlight -= 1;
    };
    const answers = await openLoop({ perSecond: 2_000, durationMs: 5_000, mostRequests: 40, random: seededRandom(1) }, send);
    expect(answers.length).toBe(40);
    expect(most).toBeGreaterThan(5);
  });
});

describe('a closed loop', () => {
  test('never has more requests in flight than clients', async () => {
    let inFlight = 0;
    let most = 0;
    await closedLoop({ clients: 3, durationMs: 40 }, async () => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setTimeout(resolve, 1));
      inFlight -= 1;
      return 0;
    });
    expect(most).toBe(3);
  });
});

describe('the oracle', () => {
  test('finds what an answer costs from answers alone', async () => {
    const costs = (request: CompletionRequest) => 4 + 0.1 * request.prompt.length + 0.5 * request.maxTokens;
    const client: Client = {
      send: async (request) => ({ ...answered('stlm-10m', costs(request)), completionBytes: request.maxTokens }),
      close: async () => {},
    };
    const time = await measureServiceTime(client, 'stlm-10m');
    expect(serviceMs(time, 1_000, 100)).toBeCloseTo(154, 6);
  });

  test('names the largest tier that would have finished in time', () => {
    const request = { prompt: 'x'.repeat(100), maxTokens: 10, budgetMs: 0 };
    expect(largestFeasible(ORACLE, { ...request, budgetMs: 70 })).toBe('stlm-100m');
    expect(largestFeasible(ORACLE, { ...request, budgetMs: 69 })).toBe('stlm-10m');
    expect(largestFeasible(ORACLE, { ...request, budgetMs: 8 })).toBeUndefined();
  });
});

describe('the figures of a load', () => {
  const request = { prompt: 'x'.repeat(100), maxTokens: 10, budgetMs: 100, seed: 0 };

  test('count each request where it belongs', () => {
    const figures = routerFigures(
      [
        { request, answer: answered('stlm-100m', 80, { expectedMs: 60, predictedMs: 70 }) },
        { request, answer: answered('stlm-10m', 109, { expectedMs: 109, predictedMs: 120, stopCause: 'deadline' }) },
        { request, answer: answered('stlm-10m', 111, { expectedMs: 111, predictedMs: 120 }) },
        { request, answer: refused(429, 4) },
        { request: { ...request, budgetMs: 1 }, answer: refused(422, 2) },
      ],
      ORACLE,
    );
    expect(figures).toMatchObject({ offered: 5, statuses: { 200: 3, 429: 1, 422: 1 }, shed: 0.2, shedAnswerP99Ms: 4 });
    expect(figures.withinBudget).toBeCloseTo(2 / 3);
    expect(figures.servedInBudget).toBeCloseTo(2 / 4);
    expect(figures.cutByDeadline).toBeCloseTo(1 / 3);
    expect(figures.onLargestFeasible).toBeCloseTo(1 / 3);
    expect(figures.tiers[1]).toEqual({ tier: 'stlm-100m', requests: 1, errorP50: 0.25, errorP95: 0.25, overPredicted: 1 });
    expect(figures.tiers[0]).toMatchObject({ requests: 2, errorP95: 0, overPredicted: 0 });
  });
});

describe('statistics', () => {
  test('interpolate between the nearest two, and say nothing of nothing', () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([], 0.5)).toBeNaN();
    expect(spread([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 });
  });
});
