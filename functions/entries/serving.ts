/** What a server on Node serves: the artifacts of its store, or, where the store has releases, what its aliases say, as they change. */
import type { Logger } from 'pino';
import type { Config } from '../config.js';
import { openStore } from '../registry/open-store.js';
import { readAliases } from '../registry/releases.js';
import { requalify, warmUp } from '../warm-up.js';
import { type Common, openCommon } from './common.js';
import { deploy, type Deployment } from './deployment.js';
import { serveReleases } from './releases.js';

export interface Serving {
  readonly logger: Logger;
  fetch(request: Request, environment?: object): Response | Promise<Response>;
  /** As of now; the stable release's first. */
  deployments(): readonly Deployment[];
  /** Once the server listens. */
  begin(): void;
  /** The operator says that something has changed. */
  recheck(): void;
}

export async function openServing(config: Config): Promise<Serving> {
  const common = await openCommon(config);
  const aliases = await readAliases(openStore(config.artifacts));
  return aliases === undefined ? asItLies(config, common) : serveReleases(config, common, aliases.stable);
}

async function asItLies(config: Config, common: Common): Promise<Serving> {
  const deployment = await deploy(config, { common });
  return {
    logger: common.logger,
    fetch: deployment.app.fetch,
    deployments: () => [deployment],
    begin: () => void warmUp(deployment),
    recheck: () => void requalify(deployment.engine, deployment.logger),
  };
}
