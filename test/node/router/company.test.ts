import { describe, expect, test } from 'vitest';
import type { Decision } from '../../../functions/router/types.js';
import { routeRequest, serve, type Served, virtualServer, warmAll } from './virtual-load.js';

/** A server that has served so much company that it knows what a shared run costs. */
async function experienced(machine: Parameters<typeof virtualServer>[0] = {}) {
  const server = virtualServer(machine);
  await warmAll(server);
  for (const tier of ['stlm-10m', 'stlm-50m', 'stlm-100m']) for (let n = 0; n < 4; n += 1) await alone(server, { tier, budgetMs: 20_000, generations: 8, sharesRuns: true });
  await server.engine.runUntil(server.engine.nowMs() + 10_000);
  return server;
}

async function alone(server: ReturnType<typeof virtualServer>, fields: Omit<Parameters<typeof routeRequest>[0], 'arrivalMs'>): Promise<Served> {
  const answer = serve(server, routeRequest({ ...fields, arrivalMs: server.engine.nowMs() }));
  await server.engine.runUntil(Infinity);
  return answer;
}

const isAdmitted = ({ answer }: Served) => answer.kind === 'admitted';

describe('texts that may share runs', () => {
  test.each([2, 8, 16, 40])('are expected to take together what they take together: %i in one request', async (generations) => {
    const server = await experienced();
    const { answer, actualMs = 0 } = await alone(server, { tier: 'stlm-50m', budgetMs: 20_000, maxBytes: 200, generations, sharesRuns: true });
    expect((answer as Decision).expectedMs / actualMs).toBeGreaterThan(0.85);
    expect((answer as Decision).expectedMs / actualMs).toBeLessThan(1.25);
  });

  test('get a larger tier than as many that have their runs to themselves', async () => {
    const tierOf = async (sharesRuns: boolean) => ((await alone(await experienced(), { budgetMs: 1_500, maxBytes: 200, generations: 16, sharesRuns })).answer as Decision).placement.tier;
    expect([await tierOf(false), await tierOf(true)]).toEqual(['stlm-10m', 'stlm-50m']);
  });

  test.each([0.2, 0.6])('are admitted side by side as long as all of them end in time, where each adds %f of a run', async (slope) => {
    const burst = async (sharesRuns: boolean) => {
      const server = await experienced({ workers: 1, slope });
      const startMs = server.engine.nowMs();
      const served = Array.from({ length: 48 }, (_, n) =>
        serve(server, routeRequest({ id: String(n), tier: 'stlm-50m', arrivalMs: startMs, budgetMs: 2_000, maxBytes: 200, sharesRuns })),
      );
      await server.engine.runUntil(Infinity);
      return (await Promise.all(served)).filter(isAdmitted);
    };
    const [apart, together] = [await burst(false), await burst(true)];
    expect(together.length).toBeGreaterThan((slope < 0.5 ? 2 : 1.2) * apart.length);
    const promised = together.filter(({ answer }) => (answer as Decision).tiers[0]!.verdict === 'fits');
    expect(promised.length).toBeGreaterThan(0.9 * together.length);
    expect(promised.filter(({ result }) => result?.completionBytes === 200).length).toBeGreaterThanOrEqual(0.9 * promised.length);
    expect(Math.max(...together.map(({ actualMs = 0 }) => actualMs))).toBeLessThan(2_010);
    expect(Math.max(...together.map(({ actualMs = 0 }) => actualMs))).toBeGreaterThan(1_000);
  });

  test('leave room for larger tiers, as what they pay for is their part of a run', async () => {
    const server = await experienced();
    const allowedMs = () => {
      server.router.route(routeRequest({ budgetMs: 1, arrivalMs: server.engine.nowMs() }));
      const last = server.records.at(-1)!;
      return last.event === 'decision' ? last.allowedMs : Number.NaN;
    };
    const fullMs = allowedMs();
    const decision = server.router.route(routeRequest({ tier: 'stlm-50m', budgetMs: 5_000, maxBytes: 200, arrivalMs: server.engine.nowMs(), sharesRuns: true })) as Decision;
    const timings = { queueMs: 0, loadMs: 0, prefillMs: 10, decodeMs: 400, decodeAloneMs: 140, coreMs: 0, firstByteMs: 10 };
    const result = { stopCause: 'length' as const, promptPatches: 9, cachedPatches: 0, cachedBytes: 0, completionBytes: 200, decodedPatches: 38, contextTruncated: false, meanBatch: 10, timings };
    server.router.observe(decision, { kind: 'finished', result });
    expect(fullMs - allowedMs()).toBeCloseTo(50, 6);
  });
});
