import { describe, expect, test } from 'vitest';
import type { GenerateResult } from '../../../functions/engine/types.js';
import { Warming } from '../../../functions/router/warming.js';

const RESULT: GenerateResult = {
  stopCause: 'length',
  promptPatches: 8,
  cachedPatches: 0,
  cachedBytes: 0,
  completionBytes: 64,
  decodedPatches: 12,
  contextTruncated: false,
  meanBatch: 1,
  timings: { queueMs: 0, loadMs: 0, prefillMs: 1, decodeMs: 11, decodeAloneMs: 11, coreMs: 0, firstByteMs: 1 },
};

/** Loads end when told to. */
function warmingOf() {
  const loads: { placement: { tier: string; worker: number }; resolve: (loadMs: number) => void; reject: (error: Error) => void }[] = [];
  const busy = new Set<number>();
  const warm = new Set<string>();
  const measured = new Set<string>();
  const events: string[] = [];
  const observed: number[] = [];
  let now = 0;
  let probes = 0;
  let stalls = 0;
  const warming = new Warming({
    engine: {
      isWarm: ({ tier, worker }) => warm.has(`${tier}/${worker}`),
      load: (placement) => new Promise((resolve, reject) => loads.push({ placement, resolve, reject })),
      widen: async ({ worker }) => {
        events.push(`widen ${worker}`);
        return worker === 0;
      },
      // oxlint-disable-next-line require-yield
      async *generate() {
        probes += 1;
        if (stalls === 0) return RESULT;
        stalls -= 1;
        now += 5_000;
        return { ...RESULT, timings: { ...RESULT.timings, decodeMs: 5_000 } };
      },
    },
    nowMs: () => now,
    log: { info: () => {}, warn: (_, message) => events.push(message) },
    isIdle: (worker) => !busy.has(worker),
    isMeasured: (tier) => measured.has(tier),
    onStart: ({ worker }) => events.push(`start ${worker}`),
    onEnd: ({ worker }, loadMs) => events.push(`end ${worker} ${loadMs}`),
    onWiden: ({ tier }) => measured.delete(tier),
    onProbe: ({ tier }, { timings }) => {
      measured.add(tier);
      observed.push(timings.decodeMs);
    },
  });
  return {
    warming,
    loads,
    busy,
    warm,
    events,
    observed,
    probes: () => probes,
    pass: (ms: number) => (now += ms),
    stall: (times: number) => (stalls = times),
  };
}

describe('loading a tier', () => {
  test('happens once however many ask, and measures it once however many workers load it', async () => {
    const { warming, loads, events, probes } = warmingOf();
    const flights = [0, 0, 1].map((worker) => warming.load({ tier: 'stlm-10m', worker }));
    expect(loads.length).toBe(2);
    expect(warming.isLoading({ tier: 'stlm-10m', worker: 0 })).toBe(true);
    for (const { resolve } of loads) resolve(120);
    await Promise.all(flights);
    expect(events).toEqual(['start 0', 'start 1', 'end 0 120', 'end 1 120']);
    expect(warming.isLoading({ tier: 'stlm-10m', worker: 0 })).toBe(false);
    const once = probes();
    const again = warming.load({ tier: 'stlm-10m', worker: 0 });
    loads.at(-1)?.resolve(0);
    await again;
    expect(once).toBeGreaterThan(0);
    expect(probes()).toBe(once);
  });

  test.each([
    ['once or twice measures again, so that a freeze is not taken for the cost of a tier', 2, [11, 11, 11]],
    ['every time is as slow as it looks', 100, [5_000, 5_000, 5_000]],
  ])('that is stopped in the middle of measuring %s', async (_then, times, expected) => {
    const { warming, loads, observed, stall } = warmingOf();
    const flight = warming.load({ tier: 'stlm-10m', worker: 0 });
    stall(times);
    loads[0]?.resolve(120);
    await flight;
    expect(observed).toEqual(expected);
  });

  test('that fails frees its worker, says so, and is not wanted again for a while', async () => {
    const { warming, loads, events, pass } = warmingOf();
    const placement = { tier: 'stlm-10m', worker: 0 };
    const flight = warming.load(placement);
    loads[0]?.reject(new Error('truncated'));
    await flight;
    expect(events).toEqual(['start 0', 'load failed', 'end 0 undefined']);
    warming.want(placement);
    warming.loadWanted();
    expect(loads.length).toBe(1);
    pass(5_000);
    warming.want(placement);
    warming.loadWanted();
    expect(loads.length).toBe(2);
  });

  test('that is only wanted waits until its worker is idle', () => {
    const { warming, loads, busy } = warmingOf();
    busy.add(0);
    warming.want({ tier: 'stlm-100m', worker: 0 });
    warming.loadWanted();
    expect(loads.length).toBe(0);
    busy.delete(0);
    warming.loadWanted();
    warming.loadWanted();
    expect(loads.length).toBe(1);
  });

  test('that is wanted while it is under way is not done again', async () => {
    const { warming, loads } = warmingOf();
    const placement = { tier: 'stlm-10m', worker: 0 };
    const flight = warming.load(placement);
    warming.want(placement);
    loads[0]?.resolve(120);
    await flight;
    warming.loadWanted();
    expect(loads.length).toBe(1);
  });

  test('ahead of any request yields to requests', async () => {
    const { warming, loads, busy } = warmingOf();
    busy.add(0);
    const flight = warming.loadWhenIdle({ tier: 'stlm-50m', worker: 0 });
    warming.loadWanted();
    await Promise.resolve();
    expect(loads.length).toBe(0);
    busy.delete(0);
    warming.loadWanted();
    await expect.poll(() => loads.length).toBe(1);
    loads[0]?.resolve(120);
    await flight;
  });

  test('ahead of any request is not done where a request came first', async () => {
    const { warming, loads, busy, warm } = warmingOf();
    busy.add(0);
    const flight = warming.loadWhenIdle({ tier: 'stlm-50m', worker: 0 });
    warm.add('stlm-50m/0');
    busy.delete(0);
    warming.loadWanted();
    await flight;
    expect(loads.length).toBe(0);
  });

  test.each([0, 1])('ahead of any request waits for a load under way, on worker %i too', async (worker) => {
    const { warming, loads } = warmingOf();
    void warming.load({ tier: 'stlm-10m', worker });
    const flight = warming.loadWhenIdle({ tier: 'stlm-50m', worker: 0 });
    await Promise.resolve();
    expect(loads.length).toBe(1);
    loads[0]?.resolve(120);
    await expect.poll(() => loads.length).toBe(2);
    loads[1]?.resolve(120);
    await flight;
  });
});

test('widening waits until its worker is idle, blocks it meanwhile, and has the tier measured anew', async () => {
  const { warming, busy, warm, events, probes } = warmingOf();
  const placement = { tier: 'stlm-50m', worker: 0 };
  warm.add('stlm-50m/0');
  busy.add(0);
  const flight = warming.widenWhenIdle(placement);
  await Promise.resolve();
  expect(events).toEqual([]);
  busy.delete(0);
  warming.loadWanted();
  await flight;
  expect(events).toEqual(['widen 0', 'start 0', 'end 0 undefined']);
  expect(probes()).toBeGreaterThan(0);
  expect(warming.isLoading(placement)).toBe(false);
});

test('what could not be widened is not measured anew', async () => {
  const { warming, warm, probes } = warmingOf();
  warm.add('stlm-50m/1');
  await warming.widenWhenIdle({ tier: 'stlm-50m', worker: 1 });
  expect(probes()).toBe(0);
});
