/** The Worker: the smallest tier runs in its isolate, the larger ones at the origin. */
import type { ExecutionContext } from 'hono';
import { type Bindings, deployEdge } from './edge.js';

let deployment: ReturnType<typeof deployEdge> | undefined;

export default {
  async fetch(request: Request, bindings: Bindings, context: ExecutionContext): Promise<Response> {
    deployment ??= deployEdge(bindings);
    const { app, engine, origin, readiness } = deployment;
    if (origin !== undefined) context.waitUntil(origin.ask());
    const response = await app.fetch(request, bindings, context);
    // What a request begins ends with it, unless it is waited for. Opening the model keeps the isolate busy: no answer should wait for that.
    context.waitUntil(warm(deployment));
    if (new URL(request.url).pathname === '/readyz') context.waitUntil(readiness.prove(engine.tier).catch(() => undefined));
    return response;
  },
};

async function warm({ engine, router }: ReturnType<typeof deployEdge>): Promise<void> {
  const placement = { tier: engine.tier, worker: 0 };
  if (engine.state === 'cold') await router.warm(placement);
}
