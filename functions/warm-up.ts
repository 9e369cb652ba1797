import type { Engine } from './engine/types.js';
import type { Readiness } from './readiness.js';
import type { Router } from './router/types.js';
import type { App, Logger } from './routes/context.js';

interface WarmUpParts {
  readonly app: Pick<App, 'request'>;
  readonly engine: Engine;
  readonly router: Router;
  readonly readiness: Readiness;
  readonly logger: Logger;
}

/** The smallest tier on every worker, so that some answer is always near. Larger ones load when requests want them. */
export async function warmSmallest({ app, engine, router, readiness, logger }: WarmUpParts): Promise<void> {
  const [smallest] = engine.manifests;
  if (smallest === undefined) {
    logger.error({ tiers: engine.status() }, 'there is no usable model');
    return;
  }
  await Promise.all(Array.from({ length: engine.workers }, (_, worker) => router.warm({ tier: smallest.id, worker })));
  await rehearse(app, smallest.id);
  const golden = await readiness.golden(smallest.id);
  logger.info({ tier: smallest.id, golden }, golden === 'reproduced' ? 'ready' : 'not ready: the model does not give its golden text');
}

/** A process's first request compiles the validators and the routes, tens of milliseconds that no client's budget should pay. */
async function rehearse(app: Pick<App, 'request'>, model: string): Promise<void> {
  for (const stream of [false, true]) {
    const body = JSON.stringify({ model, prompt: 'Once upon a time', max_tokens: 16, stream, latency_budget_ms: 10_000 });
    const response = await app.request('/v1/completions', { method: 'POST', body });
    await response.text();
  }
}
