/** The parts of a server on Node, made from its configuration and wired to each other. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { pino, stdSerializers } from 'pino';
import { KeyRing } from '../access/keys.js';
import { Limits } from '../access/limits.js';
import { createApp } from '../app.js';
import { checkTiers, type Config } from '../config.js';
import { openDecisionLog } from '../decision-log.js';
import { Drain } from '../drain.js';
import { EnergyMeter } from '../energy/energy.js';
import { Rapl } from '../energy/rapl.js';
import { WorkerPool } from '../engine/pool.js';
import { poolPlan } from '../engine/pool-plan.js';
import { ThreadedGrammars } from '../grammar/threaded.js';
import { thisMachine } from '../machine.js';
import { PrometheusMetrics } from '../metrics/prometheus.js';
import { Readiness } from '../readiness.js';
import { ModelFileCache } from '../registry/fetch.js';
import { openStore } from '../registry/open-store.js';
import { Registry } from '../registry/registry.js';
import { createRouter } from '../router/router.js';
import { readKeys } from './key-file.js';
import { servePages } from './pages.js';
import { WORKER_URL } from './worker-url.js';

const nowMs = () => performance.timeOrigin + performance.now();

/**
 * @param keepsPrepared false where no model is loaded twice from one disk, so that preparing it would only take longer.
 * @throws what keeps a server from starting; it is the operator's to mend.
 */
export async function deploy(config: Config, { firstThread, keepsPrepared = true }: { readonly firstThread?: Worker; readonly keepsPrepared?: boolean } = {}) {
  const { artifacts, cache, pool, keysFile, redisUrl, aliases, budgetDefaults, wattsPerCore, policy, decisionLog, logLevel } = config;
  const logger = pino({ level: logLevel, serializers: { error: stdSerializers.err } });
  const registry = await Registry.open(await openStore(artifacts), new ModelFileCache(join(cache, 'files')));
  checkTiers({ policy, pool, aliases }, registry);
  const { preload, ...plan } = poolPlan(thisMachine(), registry.manifests, pool);
  const keys = await readKeys(keysFile);
  const preparedFolder = keepsPrepared ? join(cache, 'prepared') : undefined;
  const engine = new WorkerPool({ registry, workerUrl: WORKER_URL, ...(firstThread && { firstThread }), ...(preparedFolder !== undefined && { preparedFolder }), ...plan });
  const decisions = decisionLog === undefined ? undefined : await openDecisionLog(decisionLog, (error) => logger.error({ error }, 'the decision log ends here'));
  const router = createRouter({ engine, nowMs, log: logger, policy, ...(decisions && { record: decisions.write }) });
  const counters = redisUrl === undefined ? undefined : (await import('../access/redis-limits.js')).countInRedis(redisUrl, logger);
  const access = { keys: new KeyRing(keys.all), limits: new Limits(keys.all, counters?.newLimiter) };
  const [drain, readiness, metrics] = [new Drain(), new Readiness(engine), new PrometheusMetrics(engine)];
  const grammars = new ThreadedGrammars(new URL('../grammar/thread.js', import.meta.url));
  const rapl = Rapl.open();
  if (rapl) setInterval(() => rapl.sample(), 1_000).unref();
  const energy = new EnergyMeter(() => rapl?.power ?? { wattsPerCore, source: 'cpu_time' }, plan.threads);
  const app = createApp({ engine, router, aliases, budgetDefaults, access, grammars, drain, readiness, logger, metrics, energy, nowMs, newId: randomUUID });
  servePages(app);
  return { app, engine, registry, router, drain, readiness, decisions, counters, logger, preload, apiKey: keys.ownKey };
}
