import type { App, AppDeps } from './context.js';

/** `GET /metrics`: for Prometheus. No prompt, no key, no client's name is in them. */
export function registerMetrics(app: App, { metrics }: Pick<AppDeps, 'metrics'>): void {
  app.get('/metrics', async function read(c) {
    const { contentType, body } = await metrics.render();
    return c.body(body, 200, { 'content-type': contentType });
  });
}
