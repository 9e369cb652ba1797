import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { capacityOracle, idleOracle, type OracleRequest } from '../../bench/oracle.js';
import { type Replayed, routerFigures } from '../../bench/router-figures.js';
import { measureServiceTime, serviceMs, type ServiceTime } from '../../bench/service-times.js';
import { quantile, spread } from '../../bench/statistics.js';
import { bursty, poisson } from '../../load/arrivals.js';
import type { Answer, Client } from '../../load/client.js';
import { makeNoise } from '../../load/noise.js';
import { openLoop } from '../../load/open-loop.js';
import { SCENARIOS, type ScenarioName, scenarioTrace } from '../../load/scenarios.js';
import { seededRandom } from '../../load/seeded.js';
import { promptOf, readTrace, writeTrace } from '../../load/trace.js';

const TIERS = ['stlm-10m', 'stlm-100m'];
const TIMES: ServiceTime[] = [
  { tier: 'stlm-10m', coefficients: [2, 0.5, 0.2], contextPatches: 512, bytesPerPatch: 5, sharing: 1, scatterP95: 0 },
  { tier: 'stlm-100m', coefficients: [10, 5, 1], contextPatches: 512, bytesPerPatch: 5, sharing: 1, scatterP95: 0 },
];

function answered(tier: string, latencyMs: number, { expectedMs = latencyMs, predictedMs = latencyMs, stopCause = 'length' } = {}): Answer {
  const report = { tier, expected_ms: expectedMs, predicted_ms: predictedMs, actual_ms: latencyMs, stop_cause: stopCause, route_reason: 'fits' };
  return { status: 200, requestId: undefined, admitted: true, latencyMs, completionBytes: 8, report: report as Answer['report'], retryAfterMs: undefined };
}

function refused(status: number, latencyMs: number, admitted = false): Answer {
  return { status, requestId: undefined, admitted, latencyMs, completionBytes: 0, report: undefined, retryAfterMs: 50 };
}

describe('arrivals', () => {
  test('come at the rate asked for, in order, in bursts or not', () => {
    for (const arrivals of [
      poisson(50, 100_000, seededRandom(1)),
      bursty({ perSecond: 50, burstFactor: 6, calmMs: 3_000, burstMs: 750 }, 100_000, seededRandom(1)),
    ]) {
      expect(arrivals.length).toBeGreaterThan(4_000);
      expect(arrivals.length).toBeLessThan(6_000);
      expect(arrivals).toEqual(arrivals.toSorted((a, b) => a - b));
    }
  });

  test('vary in number per second as Poisson arrivals do, and far more in bursts', () => {
    const dispersion = (arrivals: readonly number[]) => {
      const counts = Array.from({ length: 200 }, (_, second) => arrivals.filter((ms) => Math.floor(ms / 1_000) === second).length);
      const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
      return counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length / mean;
    };
    expect(dispersion(poisson(20, 200_000, seededRandom(2)))).toBeCloseTo(1, 0);
    expect(dispersion(bursty({ perSecond: 20, burstFactor: 6, calmMs: 3_000, burstMs: 750 }, 200_000, seededRandom(2)))).toBeGreaterThan(4);
  });
});

describe('a trace', () => {
  const shape = { saturationPerSecond: 40, durationMs: 20_000, seed: 1 };

  test('is the same for the same seed, inside its bounds, and as often tight as wide', () => {
    const trace = scenarioTrace('steady', shape);
    expect(scenarioTrace('steady', shape)).toEqual(trace);
    expect(scenarioTrace('steady', { ...shape, seed: 2 })).not.toEqual(trace);
    for (const { promptBytes, maxTokens, budgetMs } of trace.requests) {
      expect(promptBytes >= 20 && promptBytes <= 8_000 && maxTokens >= 8 && maxTokens <= 256 && budgetMs >= 30 && budgetMs <= 5_000).toBe(true);
    }
    const tight = trace.requests.filter(({ budgetMs }) => budgetMs < Math.sqrt(30 * 5_000)).length;
    expect(tight / trace.requests.length).toBeCloseTo(0.5, 1);
  });

  test('survives its file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stlm-trace-'));
    try {
      for (const name of Object.keys(SCENARIOS) as ScenarioName[]) {
        const trace = scenarioTrace(name, shape);
        await writeTrace(join(folder, name), trace);
        expect(await readTrace(join(folder, name))).toEqual(trace);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('has prompts of the bytes it says, of which no two begin alike, and asks for no seed', () => {
    const { requests } = scenarioTrace('burst', shape);
    const prompts = requests.map((request, index) => promptOf(index, request));
    expect(prompts.map(({ length }) => length)).toEqual(requests.map(({ promptBytes }) => promptBytes));
    expect(new Set(prompts.map((prompt) => prompt.slice(0, 12))).size).toBe(prompts.length);
    expect(requests.every(({ seed }) => seed === undefined)).toBe(true);
  });
});

describe('an open loop', () => {
  test('does not wait for answers, and gives them in order of arrival', async () => {
    let inFlight = 0;
    let most = 0;
    const arrivals = Array.from({ length: 40 }, (_, index) => ({ atMs: index / 2 }));
    const answers = await openLoop(arrivals, async (_, index) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setTimeout(resolve, 50));
      inFlight -= 1;
      return index;
    });
    expect(answers).toEqual(arrivals.map((_, index) => index));
    expect(most).toBeGreaterThan(5);
  });
});

describe('noise', () => {
  test('is over when it is called off, and leaves no process behind', async () => {
    const quiet = new AbortController();
    const noise = makeNoise([{ fromMs: 0, untilMs: 60_000 }, { fromMs: 50_000, untilMs: 60_000 }], quiet.signal);
    const startMs = performance.now();
    setTimeout(() => quiet.abort(), 100);
    await noise;
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });
});

describe('service times', () => {
  test('are found from answers alone, and so is what workers cost each other', async () => {
    let inFlight = 0;
    const client: Client = {
      send: async ({ prompt, maxTokens }) => {
        inFlight += 1;
        await Promise.resolve();
        const patches = [...prompt].filter((letter) => letter === '.').length;
        const ms = (4 + 3 * patches + 0.5 * maxTokens) * (inFlight > 1 ? 1.5 : 1);
        await Promise.resolve();
        inFlight -= 1;
        return { ...answered('stlm-10m', ms), completionBytes: maxTokens };
      },
      close: async () => {},
    };
    const time = await measureServiceTime(client, { id: 'stlm-10m', contextPatches: 512, bytesPerPatch: 5 }, 2);
    const perText = serviceMs(time, { promptPatches: 20, maxTokens: 120 }) - serviceMs(time, { promptPatches: 20, maxTokens: 20 });
    expect(perText).toBeGreaterThan(30);
    expect(perText).toBeLessThan(70);
    expect(time.sharing).toBeGreaterThan(1.2);
  });

  test('count what a text that outgrows its context has to read again', () => {
    const fits = serviceMs(TIMES[0]!, { promptPatches: 490, maxTokens: 100 });
    const slides = serviceMs(TIMES[0]!, { promptPatches: 510, maxTokens: 100 });
    expect(slides - fits).toBeCloseTo(0.5 * (20 + 256));
  });
});

describe('the oracle', () => {
  const request = (atMs: number, budgetMs: number): OracleRequest => ({ atMs, budgetMs, work: TIMES.map(() => ({ promptPatches: 10, maxTokens: 10 })) });

  test('of an idle server names the largest tier that would have finished in time', () => {
    expect([8, 9, 69, 70].map((budgetMs) => idleOracle(TIMES, request(0, budgetMs)))).toEqual([-1, 0, 0, 1]);
  });

  test('of a capacity serves as many as it can before it serves any better', () => {
    expect(capacityOracle(TIMES, [request(0, 100)], 1)).toEqual([1]);
    expect(capacityOracle(TIMES, [request(0, 100), request(0, 100)], 1).toSorted()).toEqual([0, 1]);
    expect(capacityOracle(TIMES, [request(0, 100), request(0, 100)], 2)).toEqual([1, 1]);
    expect(capacityOracle(TIMES, [request(0, 10), request(0, 10)], 1).toSorted()).toEqual([-1, 0]);
    expect(capacityOracle(TIMES, [request(0, 100), request(80, 100)], 1)).toEqual([1, 1]);
  });

  test('of a capacity knows that workers slow each other', () => {
    const [small, large] = TIMES as [ServiceTime, ServiceTime];
    const shared = [{ ...small, sharing: 2 }, { ...large, sharing: 2 }];
    expect(capacityOracle(shared, [request(0, 130), request(0, 130)], 2).toSorted()).toEqual([0, 1]);
    expect(capacityOracle(shared, [request(0, 141), request(0, 141)], 2)).toEqual([1, 1]);
  });
});

describe('the figures of a load', () => {
  const request = { atMs: 0, promptBytes: 100, maxTokens: 10, budgetMs: 100, stream: false };
  const replayed: Replayed[] = [
    { request, answer: answered('stlm-100m', 80, { expectedMs: 60, predictedMs: 70 }), idleOracle: 1, capacityOracle: 1 },
    { request, answer: answered('stlm-10m', 109, { expectedMs: 109, predictedMs: 120, stopCause: 'deadline' }), idleOracle: 1, capacityOracle: 0 },
    { request, answer: answered('stlm-10m', 111, { expectedMs: 111, predictedMs: 120 }), idleOracle: 1, capacityOracle: 1 },
    { request, answer: refused(429, 4), idleOracle: 1, capacityOracle: -1 },
    { request, answer: refused(429, 99, true), idleOracle: 1, capacityOracle: 0 },
    { request: { ...request, budgetMs: 1 }, answer: refused(422, 2), idleOracle: -1, capacityOracle: -1 },
  ];

  test('count each request where it belongs', () => {
    const figures = routerFigures({ replayed, tiers: TIERS, durationMs: 2_000, log: [] });
    expect(figures).toMatchObject({ offered: 6, statuses: { 200: 3, 429: 2, 422: 1 }, shed: 1 / 6, shedAnswerP99Ms: 4 });
    expect(figures.withinBudget).toBeCloseTo(2 / 4);
    expect(figures.withoutText).toBeCloseTo(1 / 4);
    expect(figures.servedInBudget).toBeCloseTo(2 / 5);
    expect(figures.goodputBytesPerSecond).toBeCloseTo(8);
    expect(figures.cutByDeadline).toBeCloseTo(1 / 3);
    expect(figures.againstIdleOracle).toEqual({ onItsTier: 1 / 3, regret: 2 / 3, stepsShare: 4 / 10 });
    expect(figures.againstCapacityOracle).toEqual({ onItsTier: 2 / 3, regret: 1 / 3, stepsShare: 4 / 6 });
    expect(figures.tiers[1]).toMatchObject({ tier: 'stlm-100m', requests: 1, errorP50: 0.25, errorP95: 0.25, bias: 0.75, overPredicted: 1 });
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
