/** One release of a store as a deployment beside others. */
import type { Worker } from 'node:worker_threads';
import type { Config } from '../config.js';
import { thisMachine } from '../machine.js';
import { releaseAt } from '../registry/releases.js';
import type { Release } from '../rollout.js';
import { warmUp } from '../warm-up.js';
import type { Common } from './common.js';
import { deploy, type Deployment } from './deployment.js';

export interface RunningRelease extends Release {
  readonly deployment: Deployment;
  /** Warms it. @throws if no tier of it can be served. */
  prove(): Promise<void>;
}

export async function openRelease(config: Config, common: Common, id: string, firstThread?: Worker): Promise<RunningRelease> {
  const logger = common.logger.child({ release: id });
  const { artifacts, decisionLog } = config;
  const own = { artifacts: releaseAt(artifacts, id), pool: halved(config.pool), decisionLog: decisionLog && `${decisionLog}.${id}` };
  const deployment = await deploy({ ...config, ...own }, { common: { ...common, logger }, ...(firstThread && { firstThread }) });
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
