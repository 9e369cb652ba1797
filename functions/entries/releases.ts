/** A store with releases, served: each release is a deployment of its own, and aliases say which of them requests go to. */
import type { Worker } from 'node:worker_threads';
import type { Config } from '../config.js';
import { openStore } from '../registry/open-store.js';
import { readAliases } from '../registry/releases.js';
import { Rollout } from '../rollout.js';
import { requalify, warmUp, warnOfFallback } from '../warm-up.js';
import type { Common } from './common.js';
import { openRelease } from './release.js';
import type { Serving } from './serving.js';

export async function serveReleases(config: Config, common: Common, first: string, firstThread?: Worker): Promise<Serving> {
  const { logger, counters, measured } = common;
  const rollout = new Rollout(await openRelease(config, common, first, firstThread), async (id) => {
    const release = await openRelease(config, common, id);
    await release.prove();
    return release;
  });
  const store = await openStore(config.artifacts);
  const lookAtAliases = async () => {
    try {
      const aliases = await readAliases(store);
      if (aliases !== undefined) await rollout.follow(aliases);
    } catch (error) {
      logger.error({ error }, 'the aliases are not followed');
    }
    measured.engine = rollout.stable.deployment.engine;
  };
  return {
    logger,
    counters,
    fetch: rollout.fetch,
    deployments: () => rollout.live.map(({ deployment }) => deployment),
    begin: () => void warmUp(rollout.stable.deployment).then(() => warnOfFallback(logger)).then(lookAtAliases).then(() => void setInterval(() => void lookAtAliases(), config.releasePollMs).unref()),
    recheck: () => {
      void lookAtAliases();
      for (const { deployment } of rollout.live) void requalify(deployment.engine, deployment.logger);
    },
  };
}
