/** The parts of a server on Node, made from its configuration and wired to each other. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { pino, stdSerializers } from 'pino';
import { KeyRing } from '../access/keys.js';
import { Limits } from '../access/limits.js';
import { createApp } from '../app.js';
import { checkTiers, type Config } from '../config.js';
import { openDecisionLog } from '../decision-log.js';
import { Drain } from '../drain.js';
import { EnergyMeter } from '../energy/energy.js';
import { Rapl } from '../energy/rapl.js';
import { bestRuntime } from '../engine/open-session.js';
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

const nowMs = () => performance.timeOrigin + performance.now();

/** @throws what keeps a server from starting; it is the operator's to mend. */
export async function deploy({ artifacts, cache, pool, keysFile, aliases, budgetDefaults, wattsPerCore, policy, decisionLog, logLevel }: Config) {
  const logger = pino({ level: logLevel, serializers: { error: stdSerializers.err } });
  const { fallback } = await bestRuntime();
  if (fallback !== undefined) logger.warn({ error: fallback }, 'no direct binding to ONNX Runtime here: models run through onnxruntime-node');
  const registry = await Registry.open(openStore(artifacts), new ModelFileCache(join(cache, 'files')));
  checkTiers({ policy, pool, aliases }, registry);
  const { preload, ...plan } = poolPlan(thisMachine(), registry.manifests, pool);
  const keys = await readKeys(keysFile);
  const workerUrl = new URL('../engine/worker.js', import.meta.url);
  const engine = new WorkerPool({ registry, workerUrl, preparedFolder: join(cache, 'prepared'), ...plan });
  const decisions = decisionLog === undefined ? undefined : await openDecisionLog(decisionLog, (error) => logger.error({ error }, 'the decision log ends here'));
  const router = createRouter({ engine, nowMs, log: logger, policy, ...(decisions && { record: decisions.write }) });
  const access = { keys: new KeyRing(keys.all), limits: new Limits(keys.all) };
  const [drain, readiness, metrics] = [new Drain(), new Readiness(engine), new PrometheusMetrics(engine)];
  const grammars = new ThreadedGrammars(new URL('../grammar/thread.js', import.meta.url));
  const rapl = Rapl.open();
  if (rapl) setInterval(() => rapl.sample(), 1_000).unref();
  const energy = new EnergyMeter(() => rapl?.power ?? { wattsPerCore, source: 'cpu_time' }, plan.threads);
  const app = createApp({ engine, router, aliases, budgetDefaults, access, grammars, drain, readiness, logger, metrics, energy, nowMs, newId: randomUUID });
  servePages(app);
  return { app, engine, registry, router, drain, readiness, decisions, logger, preload, apiKey: keys.ownKey };
}
