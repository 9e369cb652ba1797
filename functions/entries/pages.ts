/** The pages on Node, from disk: HTML, style and Markdown out of the sources, modules out of the build, Scalar out of its package. */
import { fileURLToPath } from 'node:url';
import { serveStatic } from '@hono/node-server/serve-static';
import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import type { App } from '../routes/context.js';
import { errorResponses } from '../routes/documented-errors.js';
import { REQUEST_ID } from '../routes/documented-headers.js';
import { OPEN } from '../routes/document.js';

const SOURCES = fileURLToPath(new URL('../../../functions/', import.meta.url));
const BUILT = fileURLToPath(new URL('../', import.meta.url));
/** Only its browser bundle is wanted: what it depends on in Node is overridden away in `package.json`. */
const SCALAR = fileURLToPath(new URL('js/', import.meta.resolve('@scalar/fastify-api-reference')));

const POLICY = { defaultSrc: ["'self'"], imgSrc: ["'self'", 'data:'], baseUri: ["'none'"], frameAncestors: ["'none'"] };
/** Scalar styles its elements one by one. */
const SCALAR_POLICY = { ...POLICY, styleSrc: ["'self'", "'unsafe-inline'"], fontSrc: ["'self'", 'data:'], workerSrc: ["'self'", 'blob:'] };

const page = (path: string, operationId: string, summary: string) =>
  createRoute({
    method: 'get',
    path,
    operationId,
    tags: ['Server'],
    ...OPEN,
    summary,
    responses: { 200: { description: 'A page.', headers: REQUEST_ID, content: { 'text/html': { schema: z.string() } } }, ...errorResponses(405) },
  });

/** hono knows no type for it. */
const asMarkdown = (_path: string, c: Context) => c.header('content-type', 'text/markdown; charset=utf-8');

export function servePages(app: App): void {
  app.openAPIRegistry.registerPath(page('/', 'getPlayground', 'A page to write on'));
  app.get('/', secureHeaders({ contentSecurityPolicy: POLICY }), serveStatic({ root: SOURCES, path: 'playground/index.html' }));
  app.get('/playground/style.css', serveStatic({ root: SOURCES }));
  app.get('/playground/:module{[a-z-]+\\.js}', serveStatic({ root: BUILT }));
  app.get('/client/:module{[a-z-]+\\.js}', serveStatic({ root: BUILT }));

  app.openAPIRegistry.registerPath(page('/docs', 'getDocs', 'This document as a page, and how each client is used'));
  app.get('/docs', secureHeaders({ contentSecurityPolicy: SCALAR_POLICY }), serveStatic({ root: SOURCES, path: 'docs/index.html' }));
  app.get('/docs/page.js', serveStatic({ root: BUILT }));
  // Three megabytes, and the same until the server is another.
  app.get('/docs/scalar.js', serveStatic({ root: SCALAR, path: 'standalone.js', onFound: (_, c) => c.header('cache-control', 'max-age=3600') }));
  app.get('/docs/client.md', serveStatic({ root: SOURCES, path: 'client/README.md', onFound: asMarkdown }));
  app.get('/docs/:guide{[a-z-]+\\.md}', serveStatic({ root: SOURCES, onFound: asMarkdown }));
  app.get('/docs/:guide{[a-z-]+}', (c) => c.redirect(`/docs#tag/${c.req.param('guide')}`));
}
