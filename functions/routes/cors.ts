/** Which pages of other origins may ask from a browser: those that the deployment names. */
import { cors } from 'hono/cors';
import type { App } from './context.js';
import { PROMISE, RATE_LIMITS, REQUEST_ID, RETRY, TIMINGS, TRACE } from './documented-headers.js';

/** What a page may read of an answer besides its body. */
const EXPOSED = [REQUEST_ID, TRACE, PROMISE, TIMINGS, RATE_LIMITS, RETRY].flatMap((headers) => Object.keys(headers));
/** For which a browser remembers that it may ask. */
const PREFLIGHT_S = 600;

/** Before keys are asked for: a preflight carries none, and a refusal is for the page to read. @param origins as a browser writes them; `*`: any. */
export function admitOrigins(app: App, origins: readonly string[]): void {
  if (origins.length === 0) return;
  const origin = origins.includes('*') ? '*' : [...origins];
  app.use('/v1/*', cors({ origin, allowMethods: ['GET', 'POST'], exposeHeaders: EXPOSED, maxAge: PREFLIGHT_S }));
}
