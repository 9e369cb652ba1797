/**
 * The HTTP application, made from its dependencies. It knows no runtime: the same app runs on Node, in workerd and on Lambda.
 *
 * @module
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import { requestId } from 'hono/request-id';
import { guard, refund } from './routes/access.js';
import { registerChatCompletions } from './routes/chat-completions.js';
import { registerCompletions } from './routes/completions.js';
import { type App, type AppDeps, type AppEnv, logAnswer } from './routes/context.js';
import { admitOrigins } from './routes/cors.js';
import { registerDocument } from './routes/document.js';
import { asApiError, errorResponse } from './routes/error-response.js';
import { registerHealth } from './routes/health.js';
import { registerMetrics } from './routes/metrics.js';
import { registerModels } from './routes/models.js';
import { registerRoute } from './routes/route.js';
import { traceRequests } from './routes/trace.js';
import { unserved } from './routes/unserved.js';

/**
 * @example
 * serve({ fetch: createApp(deps).fetch, port: 8080 });
 */
export function createApp(deps: AppDeps): App {
  const app = new OpenAPIHono<AppEnv>();

  app.use(async function arrive(c, next) {
    c.set('arrivalMs', deps.nowMs());
    await next();
  });
  app.use(requestId({ generator: deps.newId }));
  app.use(async function log(c, next) {
    await next();
    // A stream has only begun to be answered; it is logged when it ends.
    if (c.var.ofElsewhere || c.res.headers.get('content-type') !== 'text/event-stream') logAnswer(c, deps);
  });

  traceRequests(app, deps.tracer);
  admitOrigins(app, deps.corsOrigins ?? []);
  guard(app, deps.access);
  registerCompletions(app, deps);
  registerChatCompletions(app, deps);
  registerModels(app, deps);
  registerRoute(app, deps);
  registerHealth(app, deps);
  registerMetrics(app, deps);
  registerDocument(app);

  app.notFound((c) => errorResponse(c, unserved(app, c.req.method, c.req.path)));
  app.onError(async (error, c) => {
    const answer = asApiError(error);
    if (answer.status === 500 && !c.req.raw.signal.aborted) deps.logger.error({ requestId: c.var.requestId, error }, 'request failed');
    if (answer.status >= 422) await refund(c, deps.access);
    return errorResponse(c, answer);
  });
  return app;
}
