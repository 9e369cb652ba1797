import { createRoute, z } from '@hono/zod-openapi';
import type { App, AppDeps } from './context.js';
import { OPEN } from './document.js';
import { errorResponses } from './documented-errors.js';
import { REQUEST_ID } from './documented-headers.js';

const route = createRoute({
  method: 'get',
  path: '/metrics',
  operationId: 'getMetrics',
  tags: ['Server'],
  ...OPEN,
  summary: 'Counters and histograms for Prometheus',
  responses: {
    200: { description: "In Prometheus' text format.", headers: REQUEST_ID, content: { 'text/plain': { schema: z.string() } } },
    ...errorResponses(405, 500),
  },
});

/** `GET /metrics`: for Prometheus. No prompt, no key, no client's name is in them. */
export function registerMetrics(app: App, { metrics }: Pick<AppDeps, 'metrics'>): void {
  const { render } = metrics;
  if (render === undefined) return;
  app.openAPIRegistry.registerPath(route);
  app.get(route.path, async function read(c) {
    const { contentType, body } = await render.call(metrics);
    return c.body(body, 200, { 'content-type': contentType });
  });
}
