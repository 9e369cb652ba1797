/** The playground on Node, from disk: the page and its style out of the sources, its modules and the client's out of the build. */
import { fileURLToPath } from 'node:url';
import { serveStatic } from '@hono/node-server/serve-static';
import { secureHeaders } from 'hono/secure-headers';
import type { App } from '../routes/context.js';

const SOURCES = fileURLToPath(new URL('../../../functions/', import.meta.url));
const BUILT = fileURLToPath(new URL('../', import.meta.url));

export function servePages(app: App): void {
  const policy = { defaultSrc: ["'self'"], imgSrc: ["'self'", 'data:'], baseUri: ["'none'"], frameAncestors: ["'none'"] };
  const guarded = secureHeaders({ contentSecurityPolicy: policy });
  app.get('/', guarded, serveStatic({ root: SOURCES, path: 'playground/index.html' }));
  app.get('/playground/style.css', serveStatic({ root: SOURCES }));
  app.get('/playground/:module{[a-z-]+\\.js}', serveStatic({ root: BUILT }));
  app.get('/client/:module{[a-z-]+\\.js}', serveStatic({ root: BUILT }));
}
