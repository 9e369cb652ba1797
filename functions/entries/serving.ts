/** What a server on Node serves: the artifacts of its store, or, where the store has releases, what its aliases say, as they change. */
import type { Worker } from 'node:worker_threads';
import type { Config } from '../config.js';
import { openStore } from '../registry/open-store.js';
import { readAliases } from '../registry/releases.js';
import { requalify, warmUp, warnOfFallback } from '../warm-up.js';
import type { Common } from './common.js';
import type { Deployment } from './deployment.js';
import { openModels, type OpenModels } from './models.js';
import { ofRelease } from './release-config.js';

export interface Serving {
  readonly common: Common;
  fetch(request: Request, environment?: object): Response | Promise<Response>;
  /** As of now; the stable release's first. */
  deployments(): readonly Deployment[];
  /** Warms it. */
  begin(): void;
  /** The operator says that something has changed. */
  recheck(): void;
  /** From the call on no deployment comes to those there are. Resolves when one that was on its way up is gone. */
  end(): Promise<void>;
}

export async function openServing(config: Config, firstThread?: Worker): Promise<Serving> {
  const release = (await readAliases(await openStore(config.artifacts)))?.stable;
  const models = await openModels(release === undefined ? config : ofRelease(config, release), { firstThread });
  try {
    // What does not concern models is loaded while the first of them is.
    const { openCommon } = await import('./common.js');
    const common = await openCommon(config);
    try {
      return await (release === undefined ? asItLies(config, common, models) : ofReleases(config, common, release, models));
    } catch (error) {
      await common.close();
      throw error;
    }
  } catch (error) {
    await models.engine.close();
    throw error;
  }
}

async function ofReleases(config: Config, common: Common, release: string, models: OpenModels): Promise<Serving> {
  const { serveReleases } = await import('./releases.js');
  return serveReleases(config, common, release, models);
}

async function asItLies(config: Config, common: Common, models: OpenModels): Promise<Serving> {
  const { deploy } = await import('./deployment.js');
  const deployment = await deploy(config, { common, models });
  return {
    common,
    fetch: deployment.app.fetch,
    deployments: () => [deployment],
    begin: () => void warmUp(deployment).then(() => warnOfFallback(common.logger)),
    recheck: () => void requalify(deployment.engine, deployment.logger),
    end: async () => undefined,
  };
}
