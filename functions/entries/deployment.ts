/** The parts of a server on Node, made from its configuration and wired to each other. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type Logger, pino, stdSerializers } from 'pino';
import { KeyRing } from '../access/keys.js';
import { Limits } from '../access/limits.js';
import { createApp } from '../app.js';
import { checkTiers, type Config } from '../config.js';
import { openDecisionLog } from '../decision-log.js';
import { Drain } from '../drain.js';
import type { Engine } from '../engine/types.js';
import { bestRuntime } from '../engine/open-session.js';
import { WorkerPool } from '../engine/pool.js';
import { poolPlan } from '../engine/pool-plan.js';
import { ThreadedGrammars } from '../grammar/threaded.js';
import { thisMachine } from '../machine.js';
import type { Metrics } from '../metrics/metrics.js';
import { PrometheusMetrics } from '../metrics/prometheus.js';
import { Readiness } from '../readiness.js';
import { ModelFileCache } from '../registry/fetch.js';
import { openStore } from '../registry/open-store.js';
import { Registry } from '../registry/registry.js';
import { createRouter } from '../router/router.js';
import type { Tracer } from '../tracing/tracer.js';
import { type DeploymentKeys, readKeys } from './key-file.js';
import { servePages } from './pages.js';
import { openTracer } from './tracing.js';

const nowMs = () => performance.timeOrigin + performance.now();

/** What a process has once, whatever it serves. */
export interface Common {
  readonly logger: Logger;
  readonly keys: DeploymentKeys;
  readonly access: { readonly keys: KeyRing; readonly limits: Limits };
  readonly grammars: ThreadedGrammars;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
  /** The engine whose state the metrics tell. */
  readonly measured: { engine?: Pick<Engine, 'status'> };
}

export async function openCommon({ keysFile, tracing, logLevel }: Pick<Config, 'keysFile' | 'tracing' | 'logLevel'>): Promise<Common> {
  const logger = pino({ level: logLevel, serializers: { error: stdSerializers.err } });
  const { fallback } = await bestRuntime();
  if (fallback !== undefined) logger.warn({ error: fallback }, 'no direct binding to ONNX Runtime here: models run through onnxruntime-node');
  const keys = await readKeys(keysFile);
  const measured: Common['measured'] = {};
  return {
    logger,
    keys,
    access: { keys: new KeyRing(keys.all), limits: new Limits(keys.all) },
    grammars: new ThreadedGrammars(new URL('../grammar/thread.js', import.meta.url)),
    metrics: new PrometheusMetrics({ status: () => measured.engine?.status() ?? [] }),
    tracer: await openTracer(tracing, logger),
    measured,
  };
}

export type Deployment = Awaited<ReturnType<typeof deploy>>;

/** @throws what keeps a server from starting; it is the operator's to mend. */
export async function deploy({ artifacts, trustedKeys, cache, pool, budgetDefaults, policy, decisionLog, ...config }: Config, common?: Common) {
  const { logger, keys, access, grammars, metrics, tracer, measured } = common ?? (await openCommon(config));
  const registry = await Registry.open(openStore(artifacts), new ModelFileCache(join(cache, 'files')), trustedKeys);
  checkTiers({ policy, pool }, registry);
  const { preload, ...plan } = poolPlan(thisMachine(), registry.manifests, pool);
  const workerUrl = new URL('../engine/worker.js', import.meta.url);
  const engine = new WorkerPool({ registry, workerUrl, preparedFolder: join(cache, 'prepared'), ...plan });
  measured.engine ??= engine;
  const decisions = decisionLog === undefined ? undefined : await openDecisionLog(decisionLog, (error) => logger.error({ error }, 'the decision log ends here'));
  const router = createRouter({ engine, nowMs, log: logger, policy, ...(decisions && { record: decisions.write }) });
  const [drain, readiness] = [new Drain(), new Readiness(engine)];
  const app = createApp({ engine, router, budgetDefaults, access, grammars, drain, readiness, logger, metrics, tracer, nowMs, newId: randomUUID });
  servePages(app);
  return { app, engine, registry, router, drain, readiness, decisions, tracer, logger, preload, apiKey: keys.ownKey };
}
