/**
 * The server as a Lambda function, in two handlers: `whole` for what takes one answer (HTTP APIs, load balancers, buffered URLs) and
 * `streaming` for URLs and REST APIs that invoke with response streaming. An environment has one request at a time and is frozen in between.
 */
import { Hono } from 'hono';
import { handle, type LambdaContext, streamHandle } from 'hono/aws-lambda';
import { readConfig } from '../config.js';
import { stableAt } from '../registry/stable.js';
import { warmUp } from '../warm-up.js';
import { deploy } from './deployment.js';

/** Of the time limit, for the way of the answer. */
const HANDOVER_MS = 100;
/** Memory that buys one processor: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html */
const MIB_PER_CORE = 1_769;

const cores = Math.max(1, Math.floor(Number(process.env['AWS_LAMBDA_FUNCTION_MEMORY_SIZE'] ?? 0) / MIB_PER_CORE));
const DEFAULTS = {
  // Whoever has its address reaches the function, so it wants keys as a server on a public address does.
  HOST: '0.0.0.0',
  // The one folder that can be written.
  STLM_CACHE: '/tmp/stlm',
  // One request at a time: all processors for it.
  STLM_WORKERS: '1',
  STLM_THREADS: String(cores),
  // Loading goes on in no background that is frozen: a larger tier is loaded by the first request whose budget leaves time for it.
  STLM_PRELOAD: 'none',
  // Time passes for the frozen too: the first timer after a thaw would unload what the request at hand needs.
  STLM_IDLE_UNLOAD_S: '86400',
};

interface Bindings {
  readonly lambdaContext?: LambdaContext;
  /** What hono's streaming handler calls it. */
  readonly context?: LambdaContext;
}

const config = readConfig({ ...DEFAULTS, ...process.env });
const deployment = await deploy({ ...config, artifacts: await stableAt(config.artifacts) }, { keepsPrepared: false });
// In it every model is checked, and so fetched from the image, which comes over the network piece by piece as it is read.
await warmUp(deployment);

const limited = new Hono<{ Bindings: Bindings }>().all('*', (c) => {
  const context = (c.env.lambdaContext ?? c.env.context)!;
  return deployment.app.fetch(c.req.raw, { limitMs: context.getRemainingTimeInMillis() - HANDOVER_MS });
});

export const whole = handle(limited, { isContentTypeBinary: () => false });
export const streaming: ReturnType<typeof streamHandle> = streamHandle(limited);
