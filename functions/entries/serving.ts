/** What a server on Node serves: the artifacts of its store, or, where the store has releases, what its aliases say, as they change. */
import type { Logger } from 'pino';
import type { Config } from '../config.js';
import { thisMachine } from '../machine.js';
import { openStore } from '../registry/open-store.js';
import { readAliases, releaseAt } from '../registry/releases.js';
import { type Release, Rollout } from '../rollout.js';
import { requalify, warmUp } from '../warm-up.js';
import { type Common, deploy, type Deployment, openCommon } from './deployment.js';

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
  return aliases === undefined ? asItLies(config, common) : released(config, common, aliases.stable);
}

async function asItLies(config: Config, common: Common): Promise<Serving> {
  const deployment = await deploy(config, common);
  return {
    logger: common.logger,
    fetch: deployment.app.fetch,
    deployments: () => [deployment],
    begin: () => void warmUp(deployment),
    recheck: () => void requalify(deployment.engine, deployment.logger),
  };
}

async function released(config: Config, common: Common, first: string): Promise<Serving> {
  const { logger, measured } = common;
  const rollout = new Rollout(await openRelease(config, common, first), async (id) => {
    const release = await openRelease(config, common, id);
    await release.prove();
    return release;
  });
  const store = openStore(config.artifacts);
  const look = async () => {
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
    fetch: rollout.fetch,
    deployments: () => rollout.live.map(({ deployment }) => deployment),
    begin: () => void warmUp(rollout.stable.deployment).then(look).then(() => void setInterval(() => void look(), config.aliasPollMs).unref()),
    recheck: () => {
      void look();
      for (const { deployment } of rollout.live) void requalify(deployment.engine, deployment.logger);
    },
  };
}

interface RunningRelease extends Release {
  readonly deployment: Deployment;
  /** Warms it. @throws if no tier of it can be served. */
  prove(): Promise<void>;
}

async function openRelease(config: Config, common: Common, id: string): Promise<RunningRelease> {
  const logger = common.logger.child({ release: id });
  const { artifacts, decisionLog } = config;
  const own = { artifacts: releaseAt(artifacts, id), pool: halved(config.pool), decisionLog: decisionLog && `${decisionLog}.${id}` };
  const deployment = await deploy({ ...config, ...own }, { ...common, logger });
  const { app, drain, engine, decisions, readiness } = deployment;
  const close = async () => {
    await engine.close();
    await decisions?.close();
  };
  logger.info({}, 'release opened');
  return {
    id,
    deployment,
    fetch: app.fetch,
    prove: async () => {
      await warmUp(deployment);
      const [smallest] = engine.manifests;
      if (smallest !== undefined && ['reproduced', 'diverges'].includes((await readiness.prove(smallest.id)).golden)) return;
      await close();
      throw new Error(`release ${id} has no tier that gives its golden text`);
    },
    retire: async () => {
      await drain.start();
      await close();
      logger.info({}, 'release retired');
    },
  };
}

/** Two releases may be in memory at a time. */
function halved(pool: Config['pool']): Config['pool'] {
  const memoryBytes = pool.memoryBytes ?? thisMachine().memoryBytes / 2;
  return { ...pool, memoryBytes: memoryBytes / 2 };
}
