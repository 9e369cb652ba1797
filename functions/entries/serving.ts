/** What a server on Node serves: the artifacts of its store, or, where the store has releases, what its aliases say, as they change. */
import type { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { Config } from '../config.js';
import { openStore } from '../registry/open-store.js';
import { readAliases } from '../registry/releases.js';
import { requalify, warmUp, warnOfFallback } from '../warm-up.js';
import { type Common, openCommon } from './common.js';
import { deploy, type Deployment } from './deployment.js';
import { serveReleases } from './releases.js';

export interface Serving {
  readonly logger: Logger;
  readonly counters: Common['counters'];
  fetch(request: Request, environment?: object): Response | Promise<Response>;
  /** As of now; the stable release's first. */
  deployments(): readonly Deployment[];
  /** Warms it. */
  begin(): void;
  /** The operator says that something has changed. */
  recheck(): void;
}

export async function openServing(config: Config, firstThread?: Worker): Promise<Serving> {
  const common = await openCommon(config);
  const aliases = await readAliases(await openStore(config.artifacts));
  return aliases === undefined ? asItLies(config, common, firstThread) : serveReleases(config, common, aliases.stable, firstThread);
}

async function asItLies(config: Config, common: Common, firstThread?: Worker): Promise<Serving> {
  const deployment = await deploy(config, { common, ...(firstThread && { firstThread }) });
  return {
    logger: common.logger,
    counters: common.counters,
    fetch: deployment.app.fetch,
    deployments: () => [deployment],
    begin: () => void warmUp(deployment).then(() => warnOfFallback(common.logger)),
    recheck: () => void requalify(deployment.engine, deployment.logger),
  };
}
