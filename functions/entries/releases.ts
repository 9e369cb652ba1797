/** A store with releases, served: each release is a deployment of its own, and aliases say which of them requests go to. */
import type { Config } from '../config.js';
import { openStore } from '../registry/open-store.js';
import { readAliases } from '../registry/releases.js';
import { Rollout } from '../rollout.js';
import { requalify, warmUp, warnOfFallback } from '../warm-up.js';
import type { Common } from './common.js';
import type { OpenModels } from './models.js';
import { BrokenReleaseError, openRelease, type RunningRelease } from './release.js';
import type { Serving } from './serving.js';

export async function serveReleases(config: Config, common: Common, first: string, models: OpenModels): Promise<Serving> {
  const { logger, measured } = common;
  const store = await openStore(config.artifacts);
  let ended = false;
  let starting: RunningRelease | undefined;
  let polling: NodeJS.Timeout | undefined;
  /** The aliases that name a broken release: loading it again ends no better. */
  let refused: string | undefined;
  let looking: Promise<void> | undefined;

  const rollout = new Rollout(await openRelease(config, common, first, models), async (id) => {
    const release = await openRelease(config, common, id);
    starting = release;
    try {
      if (!ended) await release.prove();
    } finally {
      starting = undefined;
    }
    if (!ended) return release;
    await release.close();
    throw new Error('the server is stopping');
  });

  const follow = async () => {
    const aliases = await readAliases(store);
    const text = JSON.stringify(aliases);
    if (ended || text === refused) return;
    // There were some at the start: the store may refuse these credentials by now.
    if (aliases === undefined) throw new Error('the store shows no aliases any more');
    try {
      await rollout.follow(aliases);
      refused = undefined;
    } catch (error) {
      if (error instanceof BrokenReleaseError) refused = text;
      throw error;
    } finally {
      measured.engine = rollout.stable.deployment.engine;
    }
  };
  /** Not while an earlier look is still being followed. */
  const look = () => {
    looking ??= follow()
      .catch((error: unknown) => {
        if (!ended) logger.error({ error }, 'the aliases are not followed');
      })
      .finally(() => {
        looking = undefined;
      });
  };
  const lookAgain = async () => {
    await looking;
    refused = undefined;
    look();
  };

  return {
    common,
    fetch: rollout.fetch,
    deployments: () => rollout.live.map(({ deployment }) => deployment),
    begin: () => {
      // Not only once all is warm: the larger tiers wait for idle workers, and under load there may be none.
      polling = setInterval(look, config.releasePollMs).unref();
      void warmUp(rollout.stable.deployment).then(() => warnOfFallback(logger)).then(look);
    },
    recheck: () => {
      void lookAgain();
      for (const { deployment } of rollout.live) void requalify(deployment.engine, deployment.logger);
    },
    end: async () => {
      ended = true;
      clearInterval(polling);
      await starting?.close();
    },
  };
}
