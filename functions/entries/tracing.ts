import type { Config } from '../config.js';
import { ConfigError } from '../config-source.js';
import type { Logger } from '../routes/context.js';
import { type Tracer, unrecorded } from '../tracing/tracer.js';

/** @throws {ConfigError} where traces are asked for and the optional packages that send them are missing. */
export async function openTracer(tracing: Config['tracing'], logger: Pick<Logger, 'warn'>): Promise<Tracer> {
  if (tracing === undefined) return unrecorded;
  try {
    const { otlpTracer } = await import('../tracing/otlp.js');
    return otlpTracer(tracing, (problem) => logger.warn({ problem }, 'traces'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new ConfigError('OTEL_EXPORTER_OTLP_ENDPOINT: the packages that send traces are not installed: npm ci --include=optional', { cause: error });
  }
}
