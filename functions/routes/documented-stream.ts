import { z } from '@hono/zod-openapi';

/**
 * A stream of server-sent events, for the OpenAPI document: the schema of one event, as OpenAPI 3.2 has it and tools for 3.1 read it.
 *
 * @param chunk the name of the schema of what stands in `data`.
 */
export function eventStream(chunk: string, example: object) {
  const content = { contentMediaType: 'application/json', contentSchema: { $ref: `#/components/schemas/${chunk}` } };
  const data = z.union([z.string().meta(content), z.literal('[DONE]')]).meta({ description: 'A chunk; the end in the last event.' });
  return { 'text/event-stream': { schema: z.object({ data }), example: { data: JSON.stringify(example) } } };
}
