/** Whatever is sent, over a real socket: an answer that is described, and never a fault of ours. Schemathesis asks the built server the same by its document. */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatChunkSchema, chatCompletionSchema, chatRequestSchema } from '../../../functions/schema/chat.js';
import { completionChunkSchema, completionRequestSchema, completionSchema } from '../../../functions/schema/completion.js';
import { errorSchema } from '../../../functions/schema/error.js';
import { routeAnswerSchema } from '../../../functions/schema/route.js';
import { says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';
import { readChunks } from './sse.js';

let server: TestServer;
beforeAll(async () => {
  server = await listen(new ScriptedEngine(says(['once ', 'more']), [{ id: 'stlm-small', state: 'ready' }], ['stlm-small']));
});
afterAll(() => server.close());

const SETTINGS = { seed: 11, numRuns: 150 };

/** Mostly near what is allowed, at times far from it. */
const number = fc.oneof(fc.integer({ min: -1, max: 300 }), fc.double({ min: -0.5, max: 2.5, noNaN: true }), fc.constantFrom(0, 1, 4_096, 1e300));
const text = fc.string({ unit: 'binary', maxLength: 20 });
const wild = fc.oneof(fc.constant(null), fc.jsonValue({ maxDepth: 2 }));
const or = <T>(sensible: fc.Arbitrary<T>) => fc.oneof({ weight: 12, arbitrary: sensible }, { weight: 1, arbitrary: wild });
const shared = {
  model: or(fc.constantFrom('stlm-auto', 'stlm-small', 'stlm-auto@2s', 'gpt-9')),
  max_tokens: or(number),
  temperature: or(number),
  top_p: or(number),
  top_k: or(number),
  n: or(fc.integer({ min: 0, max: 9 })),
  seed: or(fc.maxSafeInteger()),
  stop: or(fc.oneof(text, fc.array(text, { maxLength: 5 }))),
  logit_bias: or(fc.dictionary(fc.integer({ min: -1, max: 256 }).map(String), fc.double({ min: -101, max: 101, noNaN: true }), { maxKeys: 3 })),
  regex: or(fc.constantFrom('[ab]{3}', '(a', 'a*', '\\d+')),
  response_format: or(fc.constantFrom({ type: 'text' }, { type: 'json_object' }, { type: 'json_schema', json_schema: { schema: { type: 'integer' } } })),
  stream: or(fc.boolean()),
  stream_options: or(fc.record({ include_usage: fc.boolean() })),
  latency_budget_ms: or(number),
  ttft_budget_ms: or(number),
  service_tier: or(fc.constantFrom('auto', 'flex', 'priority', 'gold')),
  user: or(text),
  store: or(fc.boolean()),
  tools: or(fc.constant([])),
  unknown: wild,
};
const role = fc.constantFrom('system', 'developer', 'user', 'assistant', 'tool');
const content = fc.oneof(text, fc.array(fc.record({ type: fc.constantFrom('text', 'image_url'), text }), { maxLength: 3 }));
const messages = fc.oneof(fc.constant([{ role: 'user', content: 'Hello!' }]), fc.array(fc.record({ role, content }), { maxLength: 5 }));
const prompt = fc.oneof(text, fc.array(fc.integer({ min: 0, max: 256 }), { maxLength: 9 }), fc.array(text, { maxLength: 4 }), fc.array(fc.uint8Array({ maxLength: 4 }).map((bytes) => Array.from(bytes)), { maxLength: 3 }));
/** Two or three of the fields at once: with all of them hardly a request would be valid. */
const some = <Fields extends Record<string, fc.Arbitrary<unknown>>>(fields: Fields) =>
  fc.subarray(Object.keys(fields), { maxLength: 3 }).chain((names) => fc.record(Object.fromEntries(names.map((name) => [name, fields[name]!]))));

const request = (own: Record<string, fc.Arbitrary<unknown>>) => fc.tuple(fc.record(own), some(shared)).map(([own, more]): object => Object.assign({ model: 'stlm-auto' }, own, more));
const completions = request({ prompt: or(prompt) });
const chats = request({ messages: or(messages) });

const KINDS = [
  { path: '/v1/completions', bodies: completions, request: completionRequestSchema, whole: completionSchema, chunk: completionChunkSchema },
  { path: '/v1/chat/completions', bodies: chats, request: chatRequestSchema, whole: chatCompletionSchema, chunk: chatChunkSchema },
  // Never streamed.
  { path: '/v1/route', bodies: completions, request: completionRequestSchema, whole: routeAnswerSchema, chunk: routeAnswerSchema },
];

/** What is wrong with an answer. @throws if it has another shape than it should */
async function faultOf(body: object, response: Response, { request, whole, chunk }: (typeof KINDS)[number]): Promise<string | undefined> {
  if (response.status === 200) {
    if (!request.safeParse(body).success) return 'took what is not valid';
    if (response.headers.get('content-type') === 'text/event-stream') for (const one of await readChunks<unknown>(response)) chunk.parse(one);
    else whole.parse(await response.json());
    return undefined;
  }
  const { error } = errorSchema.parse(await response.json());
  switch (response.status) {
    case 400:
      // A form may not fit a length that was not named.
      return error.param !== null && error.param in { ...body, max_tokens: 0 } ? undefined : `names the field ${error.param}`;
    case 422:
      return error.cheapest_feasible_ms! > 0 ? undefined : 'names no budget that would do';
    case 404:
    case 429:
    case 503:
      return undefined;
    default:
      return `status ${response.status}`;
  }
}

describe.each(KINDS)('$path', (kind) => {
  test('answers any request with text in its shape, or with an error that names the field', async () => {
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(kind.bodies, async (body) => {
        const response = await server.post(kind.path, body);
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
        expect(await faultOf(body, response, kind)).toBeUndefined();
      }),
      SETTINGS,
    );
    // Neither all refused nor all taken.
    for (const status of [200, 400]) expect(statuses.get(status)).toBeGreaterThan(10);
  });

  test('refuses any bytes that are no request', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.json().map((json) => new TextEncoder().encode(json))), async (bytes) => {
        const response = await server.post(kind.path, undefined, { body: Uint8Array.from(bytes) });
        expect(response.status).toBe(400);
        expect(errorSchema.safeParse(await response.json()).success).toBe(true);
      }),
      { ...SETTINGS, numRuns: 60 },
    );
  });
});
