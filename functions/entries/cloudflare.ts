/** The Worker: the smallest tier runs in its isolate, the larger ones at the origin. */
import type { ExecutionContext } from 'hono';
import { type Bindings, deployEdge } from './edge.js';

let deployment: ReturnType<typeof deployEdge> | undefined;

export default {
  async fetch(request: Request, bindings: Bindings, context: ExecutionContext): Promise<Response> {
    deployment ??= deployEdge(bindings);
    const { app, origin, readiness, tier } = deployment;
    if (origin !== undefined) context.waitUntil(origin.ask());
    const response = await app.fetch(request, bindings, context);
    // What a request begins ends with it, unless it is waited for. Opening the model keeps the isolate busy: no answer should wait for that.
    context.waitUntil(warm(deployment));
    if (new URL(request.url).pathname === '/readyz') context.waitUntil(readiness.prove(tier).catch(() => undefined));
    return response;
  },
};

async function warm({ engine, router, tier }: ReturnType<typeof deployEdge>): Promise<void> {
  const [own] = engine.status().filter(({ id }) => id === tier);
  if (own?.state === 'cold') await router.warm({ tier, worker: 0 });
}
