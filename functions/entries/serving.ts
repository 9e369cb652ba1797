/** What a server on Node serves: the artifacts of its store, or, where the store has releases, what its aliases say, as they change. */
import type { Worker } from 'node:worker_threads';
import type { Config } from '../config.js';
import { openStore } from '../registry/open-store.js';
import { readAliases } from '../registry/releases.js';
import { requalify, warmUp, warnOfFallback } from '../warm-up.js';
import { type Common, openCommon } from './common.js';
import { deploy, type Deployment } from './deployment.js';
import { serveReleases } from './releases.js';

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
  const common = await openCommon(config);
  try {
    const aliases = await readAliases(await openStore(config.artifacts));
    return await (aliases === undefined ? asItLies(config, common, firstThread) : serveReleases(config, common, aliases.stable, firstThread));
  } catch (error) {
    await common.close();
    throw error;
  }
}

async function asItLies(config: Config, common: Common, firstThread?: Worker): Promise<Serving> {
  const deployment = await deploy(config, { common, ...(firstThread && { firstThread }) });
  return {
    common,
    fetch: deployment.app.fetch,
    deployments: () => [deployment],
    begin: () => void warmUp(deployment).then(() => warnOfFallback(common.logger)),
    recheck: () => void requalify(deployment.engine, deployment.logger),
    end: async () => undefined,
  };
}
