/** The Worker: the smallest tier runs in its isolate, the larger ones at the origin. */
import { waitUntil } from 'cloudflare:workers';
import { deployEdge } from './edge.js';
import type { Bindings } from './workerd.js';

let deployment: ReturnType<typeof deployEdge> | undefined;

export default {
  async fetch(request: Request, bindings: Bindings): Promise<Response> {
    deployment ??= deployEdge(bindings);
    const { app, engine, origin, readiness } = deployment;
    if (origin !== undefined) waitUntil(origin.ask());
    const response = await app.fetch(request, bindings);
    // Opening the model keeps the isolate busy: no answer should wait for that.
    if (engine.state === 'cold') waitUntil(deployment.router.warm({ tier: engine.tier, worker: 0 }));
    if (new URL(request.url).pathname === '/readyz') waitUntil(readiness.prove(engine.tier).catch(() => undefined));
    return response;
  },
};
