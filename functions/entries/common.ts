/** The parts of a server on Node that a process has once, whatever it serves. */
import { type Logger, pino, stdSerializers } from 'pino';
import { KeyRing } from '../access/keys.js';
import { Limits } from '../access/limits.js';
import type { Config } from '../config.js';
import type { Power } from '../energy/energy.js';
import { Rapl } from '../energy/rapl.js';
import type { Engine } from '../engine/types.js';
import { ThreadedGrammars } from '../grammar/threaded.js';
import type { Metrics } from '../metrics/metrics.js';
import { PrometheusMetrics } from '../metrics/prometheus.js';
import type { Tracer } from '../tracing/tracer.js';
import { type DeploymentKeys, readKeys } from './key-file.js';
import { openTracer } from './tracing.js';

export interface Common {
  readonly logger: Logger;
  readonly keys: DeploymentKeys;
  readonly access: { readonly keys: KeyRing; readonly limits: Limits };
  readonly grammars: ThreadedGrammars;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
  /** What a busy core takes now. */
  readonly power: () => Power;
  /** The engine whose state the metrics tell. */
  readonly measured: { engine?: Pick<Engine, 'status'> };
  /** Ends what would keep the process from ending. */
  close(): Promise<void>;
}

export async function openCommon({ keysFile, redisUrl, wattsPerCore, tracing, logLevel }: Pick<Config, 'keysFile' | 'redisUrl' | 'wattsPerCore' | 'tracing' | 'logLevel'>): Promise<Common> {
  const logger = pino({ level: logLevel, serializers: { error: stdSerializers.err } });
  const keys = await readKeys(keysFile);
  // First, as it may fail: the counters' connection holds the process.
  const tracer = await openTracer(tracing, logger);
  const counters = redisUrl === undefined ? undefined : (await import('../access/redis-limits.js')).countInRedis(redisUrl, logger);
  const rapl = Rapl.open();
  if (rapl) setInterval(() => rapl.sample(), 1_000).unref();
  const measured: Common['measured'] = {};
  return {
    logger,
    keys,
    access: { keys: new KeyRing(keys.all), limits: new Limits(keys.all, counters?.newLimiter) },
    grammars: new ThreadedGrammars(new URL('../grammar/thread.js', import.meta.url)),
    metrics: new PrometheusMetrics({ status: () => measured.engine?.status() ?? [] }),
    tracer,
    power: () => rapl?.power ?? { wattsPerCore, source: 'cpu_time' },
    measured,
    close: async () => {
      counters?.close();
      await tracer.close();
    },
  };
}
