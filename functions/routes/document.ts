/** What the OpenAPI document says beside the routes, which describe themselves where they are. */
import { createRoute, z } from '@hono/zod-openapi';
import type { App } from './context.js';
import { errorResponses } from './documented-errors.js';
import { REQUEST_ID } from './documented-headers.js';

const DOCUMENT = {
  openapi: '3.1.0',
  info: {
    title: 'STLM',
    version: '1',
    license: { name: 'MIT', identifier: 'MIT' },
    description: `Completions and chat that spend each request's latency budget on the largest tiny byte-level model that fits.
The routes are those of the OpenAI API, and its clients work unchanged.

**Budget**: milliseconds from a request's arrival to its last byte of text. The first of these that speaks is meant: \`latency_budget_ms\` in the
body, the header \`x-latency-budget-ms\`, the model's name (\`stlm-auto@80ms\`), \`Prefer: wait=2\`, the timeout an openai package sends,
\`service_tier\`, the deployment's default. Text that would outlast it ends at a word, with \`finish_reason: "length"\`.

**Tokens** are bytes. Fields that are not known are ignored; those that are known and not served are refused by name.

**Errors** have the shape of the OpenAI API, or that of RFC 9457 for who accepts \`application/problem+json\`. In a stream that has begun an
error is a \`data:\` line in the first shape. A client that leaves stops its compute; the log calls that 499.`,
  },
  servers: [{ url: '/', description: 'Where this document came from.' }],
  tags: [
    { name: 'Text', description: 'Texts, and what they would take.' },
    { name: 'Tiers', description: 'The models, smallest first.' },
    { name: 'Server', description: 'How the server is, and how it is used.' },
  ],
  // A deployment without keys asks for none.
  security: [{ key: [] }, {}],
};

/** Of what anybody may read. */
export const OPEN = { security: [] };

const route = createRoute({
  method: 'get',
  path: '/openapi.json',
  operationId: 'getOpenApi',
  tags: ['Server'],
  ...OPEN,
  summary: 'This document',
  responses: { 200: { description: 'OpenAPI 3.1.', headers: REQUEST_ID, content: { 'application/json': { schema: z.looseObject({ openapi: z.string() }) } } }, ...errorResponses(405) },
});

export function registerDocument(app: App): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'key', { type: 'http', scheme: 'bearer', description: 'An API key of the deployment, if it has any.' });
  app.openAPIRegistry.registerPath(route);
  app.doc31(route.path, DOCUMENT);
}
