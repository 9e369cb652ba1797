import { bestRuntime } from './engine/open-session.js';
import type { WorkerPool } from './engine/pool.js';
import type { Engine, Placement } from './engine/types.js';
import type { Readiness } from './readiness.js';
import type { Registry } from './registry/registry.js';
import type { Router } from './router/types.js';
import type { App, Logger } from './routes/context.js';
import type { Manifest } from './schema/manifest.js';

interface WarmUpParts {
  readonly app: Pick<App, 'request'>;
  /** What its own requests show. */
  readonly apiKey: string;
  readonly engine: Engine;
  /** What is to be warm, in this order; the smallest tier first. */
  readonly preload: readonly Placement[];
  readonly registry: Pick<Registry, 'verifyLocal'>;
  readonly router: Router;
  readonly readiness: Readiness;
  readonly logger: Logger;
}

type Stage = Pick<WarmUpParts, 'app' | 'apiKey' | 'logger'>;

/** Never rejects: a server that could not warm up all the same answers, and says in `/readyz` what it lacks. */
export async function warmUp(parts: WarmUpParts): Promise<void> {
  try {
    await warmSmallest(parts);
  } catch (error) {
    parts.logger.warn({ error }, 'warm-up broke off');
  }
  await warmRest(parts);
}

/** What is left once the smallest tier is warm. Never rejects. */
export async function warmRest(parts: WarmUpParts): Promise<void> {
  const { engine, registry, logger } = parts;
  try {
    await registry.verifyLocal();
    await warmLarger(parts);
  } catch (error) {
    logger.warn({ error }, 'warm-up broke off');
  }
  logQuarantined(engine, logger);
}

/** Each worker finds its binding by itself; what it found is asked here, once everything is warm, so that no start waits for the answer. */
export async function warnOfFallback(logger: Pick<Logger, 'warn'>): Promise<void> {
  const { fallback } = await bestRuntime();
  if (fallback !== undefined) logger.warn({ error: fallback }, 'no direct binding to ONNX Runtime here: models run through onnxruntime-node');
}

/** Another chance for quarantined tiers, and the log says which still are. Never rejects. */
export async function requalify(engine: Pick<WorkerPool, 'status' | 'requalify'>, logger: Pick<Logger, 'error'>): Promise<void> {
  try {
    await engine.requalify();
  } catch (error) {
    logger.error({ error }, 'requalifying broke off');
  }
  logQuarantined(engine, logger);
}

function logQuarantined(engine: Pick<Engine, 'status'>, logger: Pick<Logger, 'error'>): void {
  for (const { id, state, reason } of engine.status()) if (state === 'quarantined') logger.error({ tier: id, reason }, 'quarantined');
}

/** The smallest tier on every worker, so that some answer is always near; on the first alone until it is proven, so that nothing is in the way of the first requests. */
export async function warmSmallest({ app, apiKey, engine, preload, router, readiness, logger }: WarmUpParts): Promise<void> {
  const [smallest] = engine.manifests;
  if (smallest === undefined) {
    logger.error({}, 'there is no usable model');
    return;
  }
  const [first, ...others] = preload.filter(({ tier }) => tier === smallest.id);
  if (first !== undefined) await router.warm(first);
  try {
    await rehearse({ app, apiKey, logger }, smallest);
    const proof = await readiness.prove(smallest.id);
    if (proof.golden === 'reproduced') logger.info({ tier: smallest.id, ...proof }, 'warm');
    else logger.warn({ tier: smallest.id, ...proof }, 'warm, but it does not give its golden text: see GET /readyz');
  } finally {
    await Promise.all(others.map((placement) => router.warm(placement)));
  }
}

/**
 * The larger tiers, so that no request has to find them cold; the server is ready by now, and its requests go first. One after the
 * other: the other workers stay free, and each tier is measured undisturbed.
 */
async function warmLarger({ engine, preload, router }: WarmUpParts): Promise<void> {
  const quarantined = new Set(engine.status().filter(({ state }) => state === 'quarantined').map(({ id }) => id));
  const larger = preload.filter(({ tier }) => tier !== engine.manifests[0]?.id && !quarantined.has(tier));
  for (const placement of larger) await router.warm(placement, 'idle');
  for (const placement of larger) await router.widen(placement);
}

/** A process's first request compiles the validators and the routes, tens of milliseconds that no client's budget should pay. */
async function rehearse(stage: Stage, { id: model, chat }: Manifest): Promise<void> {
  const said = 'Once upon a time';
  await play(stage, '/v1/completions', { model, prompt: said }, 200);
  // A model that was not tuned to chat is refused, which compiles as much for the larger ones that were.
  await play(stage, '/v1/chat/completions', { model, messages: [{ role: 'user', content: said }] }, chat === undefined ? 400 : 200);
}

async function play({ app, apiKey, logger }: Stage, path: string, request: object, expectedStatus: number): Promise<void> {
  for (const stream of [false, true]) {
    const body = JSON.stringify({ ...request, max_tokens: 16, stream, latency_budget_ms: 10_000 });
    const response = await app.request(path, { method: 'POST', body, headers: { authorization: `Bearer ${apiKey}` } });
    await response.text();
    const { status } = response;
    if (status !== expectedStatus) logger.warn({ path, stream, status, expectedStatus }, 'a rehearsed request was answered otherwise');
  }
}
