import { expect, test } from 'vitest';
import type { Decision } from '../../../functions/router/types.js';
import { routeRequest, virtualServer, warmAll } from './virtual-load.js';

async function decisions(cachedByWorker: readonly number[]): Promise<Decision> {
  const server = virtualServer({ workers: 2 });
  await warmAll(server);
  const request = routeRequest({ arrivalMs: server.engine.nowMs(), budgetMs: 5_000, promptBytes: 2_000 });
  const largest = server.engine.manifests.at(-1)!.id;
  return server.router.explain({ ...request, cachedPatches: { [largest]: cachedByWorker } }) as Decision;
}

test('the worker that need not read a prompt again gets it, and is foretold to be sooner', async () => {
  const fresh = await decisions([0, 0]);
  for (const worker of [0, 1]) {
    const cached = await decisions([0, 1].map((one) => (one === worker ? 300 : 0)));
    expect(cached.placement).toEqual({ tier: fresh.placement.tier, worker });
    const prefillMs = ({ tiers, placement }: Decision) => tiers.find(({ tier }) => tier === placement.tier)!.prefillMs;
    expect(prefillMs(cached)).toBeLessThan(0.5 * prefillMs(fresh));
  }
});
