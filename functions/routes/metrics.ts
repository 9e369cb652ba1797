import type { App, AppDeps } from './context.js';

/** `GET /metrics`: for Prometheus. No prompt, no key, no client's name is in them. */
export function registerMetrics(app: App, { metrics }: Pick<AppDeps, 'metrics'>): void {
  const { render } = metrics;
  if (render === undefined) return;
  app.get('/metrics', async function read(c) {
    const { contentType, body } = await render.call(metrics);
    return c.body(body, 200, { 'content-type': contentType });
  });
}
