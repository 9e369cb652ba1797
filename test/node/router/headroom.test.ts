import { describe, expect, test } from 'vitest';
import type { Decision } from '../../../functions/router/types.js';
import { routeRequest, serve, virtualServer, type VirtualServer, warmAll } from './virtual-load.js';

describe('requests that come to nothing', () => {
  const tierAfter = ({ router, engine }: VirtualServer) => (router.route(routeRequest({ budgetMs: 800, arrivalMs: engine.nowMs() })) as Decision).placement.tier;

  test('leave the next one the largest tier: a hundred that are cancelled before their first run', async () => {
    const server = virtualServer();
    await warmAll(server);
    for (let n = 0; n < 100; n += 1) {
      const served = serve(server, routeRequest({ budgetMs: 800, arrivalMs: server.engine.nowMs() }), { aborted: true });
      await server.engine.runUntil(server.engine.nowMs());
      expect((await served).result?.stopCause).toBe('cancelled');
    }
    expect(tierAfter(server)).toBe('stlm-100m');
  });

  test('leave the next one the largest tier: a hundred whose reader left, or whose engine failed, before the first patch', async () => {
    const server = virtualServer();
    await warmAll(server);
    for (let n = 0; n < 100; n += 1) {
      const decision = server.router.route(routeRequest({ budgetMs: 800, arrivalMs: server.engine.nowMs() })) as Decision;
      server.router.observe(decision, { kind: 'failed' });
    }
    expect(tierAfter(server)).toBe('stlm-100m');
  });

  test('pay for what they had computed when their reader left', async () => {
    const server = virtualServer();
    await warmAll(server);
    const allowedMs = () => {
      server.router.route(routeRequest({ budgetMs: 1, arrivalMs: server.engine.nowMs() }));
      const last = server.records.at(-1)!;
      return last.event === 'decision' ? last.allowedMs : Number.NaN;
    };
    const fullMs = allowedMs();
    const left = server.router.route(routeRequest({ budgetMs: 3_000, maxBytes: 500, arrivalMs: server.engine.nowMs() })) as Decision;
    const paidMs = fullMs - allowedMs();
    for (let patch = 0; patch < 46; patch += 1) server.router.progress(left, 5);
    server.router.observe(left, { kind: 'failed' });
    const usedMs = fullMs - allowedMs();
    expect(usedMs / paidMs).toBeGreaterThan(0.3);
    expect(usedMs / paidMs).toBeLessThan(0.6);
  });
});
