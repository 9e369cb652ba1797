/** The parts of a server on Node, made from its configuration and wired to each other. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { createApp } from '../app.js';
import { checkTiers, type Config } from '../config.js';
import { openDecisionLog } from '../decision-log.js';
import { Drain } from '../drain.js';
import { EnergyMeter } from '../energy/energy.js';
import { WorkerPool } from '../engine/pool.js';
import { poolPlan } from '../engine/pool-plan.js';
import { thisMachine } from '../machine.js';
import { Readiness } from '../readiness.js';
import { ModelFileCache } from '../registry/fetch.js';
import { openStore } from '../registry/open-store.js';
import { Registry } from '../registry/registry.js';
import { createRouter } from '../router/router.js';
import { type Common, openCommon } from './common.js';
import { servePages } from './pages.js';
import { WORKER_URL } from './worker-url.js';

const nowMs = () => performance.timeOrigin + performance.now();

export type Deployment = Awaited<ReturnType<typeof deploy>>;

interface Surroundings {
  /** What the process has already. */
  readonly common?: Common;
  /** One of the engine's threads, on its way up. */
  readonly firstThread?: Worker;
  /** False where no model is loaded twice from one disk, so that preparing it would only take longer. */
  readonly keepsPrepared?: boolean;
}

/** @throws what keeps a server from starting, once no thread is left; it is the operator's to mend. */
export async function deploy(
  { artifacts, trustedKeys, cache, pool, aliases, corsOrigins, budgetDefaults, policy, decisionLog, ...config }: Config,
  { common, firstThread, keepsPrepared = true }: Surroundings = {},
) {
  const { logger, keys, access, grammars, metrics, tracer, power, measured } = common ?? (await openCommon(config));
  const registry = await Registry.open(await openStore(artifacts), new ModelFileCache(join(cache, 'files')), trustedKeys);
  checkTiers({ policy, pool, aliases }, registry);
  const { preload, ...plan } = poolPlan(thisMachine(), registry.manifests, pool);
  // Before the engine, as it may fail: threads hold the process.
  const decisions = decisionLog === undefined ? undefined : await openDecisionLog(decisionLog, (error) => logger.error({ error }, 'the decision log ends here'));
  const prepared = keepsPrepared ? { preparedFolder: join(cache, 'prepared') } : {};
  const engine = new WorkerPool({ registry, workerUrl: WORKER_URL, ...(firstThread && { firstThread }), ...prepared, ...plan });
  measured.engine ??= engine;
  const router = createRouter({ engine, nowMs, log: logger, policy, ...(decisions && { record: decisions.write }) });
  const [drain, readiness, energy] = [new Drain(), new Readiness(engine), new EnergyMeter(power)];
  const app = createApp({ engine, router, aliases, corsOrigins, budgetDefaults, access, grammars, drain, readiness, logger, metrics, energy, tracer, nowMs, newId: randomUUID });
  servePages(app);
  return { app, engine, registry, router, drain, readiness, decisions, logger, preload, apiKey: keys.ownKey };
}
