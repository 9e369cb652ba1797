import { createRoute } from '@hono/zod-openapi';
import type { TierStatus } from '../engine/types.js';
import { healthSchema, type Readiness, readinessSchema } from '../schema/health.js';
import type { App, AppDeps } from './context.js';
import { OPEN } from './document.js';
import { errorResponses } from './documented-errors.js';
import { REQUEST_ID } from './documented-headers.js';

const healthRoute = createRoute({
  method: 'get',
  path: '/healthz',
  operationId: 'isAlive',
  tags: ['Server'],
  ...OPEN,
  summary: 'The process is alive',
  responses: { 200: { description: 'Alive.', headers: REQUEST_ID, content: { 'application/json': { schema: healthSchema } } }, ...errorResponses(405) },
});

const readyContent = { 'application/json': { schema: readinessSchema } };
const readyRoute = createRoute({
  method: 'get',
  path: '/readyz',
  operationId: 'isReady',
  tags: ['Server'],
  ...OPEN,
  summary: 'At least one tier is warm and gives its golden text, or begins it',
  responses: {
    200: { description: 'Ready for requests.', headers: REQUEST_ID, content: readyContent },
    503: { description: 'Not yet, no more, or no usable model: the tiers say why.', headers: REQUEST_ID, content: readyContent },
    ...errorResponses(405),
  },
});

export function registerHealth(app: App, deps: Pick<AppDeps, 'engine' | 'readiness' | 'drain'>): void {
  app.openAPIRegistry.registerPath(healthRoute);
  app.get('/healthz', function health(c) {
    return c.json({ status: 'ok' as const });
  });

  app.openAPIRegistry.registerPath(readyRoute);
  app.get('/readyz', function ready(c) {
    const tiers = deps.engine.status().map((status) => describe(status, deps.readiness));
    const ready = !deps.drain.draining && tiers.some(({ state, golden }) => state === 'ready' && (golden === 'reproduced' || golden === 'diverges'));
    return c.json({ ready, draining: deps.drain.draining, tiers } satisfies Readiness, ready ? 200 : 503);
  });
}

function describe({ id, state, reason, loadMs, workers, memoryBytes }: TierStatus, readiness: AppDeps['readiness']): Readiness['tiers'][number] {
  const { golden, matchedBytes } = state === 'ready' ? readiness.known(id) : { golden: 'unproven' as const, matchedBytes: 0 };
  return {
    id,
    state,
    golden,
    ...(golden !== 'unproven' && { golden_matched_bytes: matchedBytes }),
    ...(reason !== undefined && { reason }),
    ...(loadMs !== undefined && { load_ms: loadMs }),
    workers: [...workers],
    memory_bytes: memoryBytes,
  };
}
