/** The OpenAPI document: valid, complete, and true of what the server answers. */
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256Hex } from '../../../functions/access/keys.js';
import type { Refusal, Router } from '../../../functions/router/types.js';
import { type Script, says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

interface Media {
  schema: object;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}
interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description: string; headers?: Record<string, { schema: object; example: unknown }>; content?: Record<string, Media> }>;
}
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { properties: Record<string, object>; required: string[] }> };
}

const key = 'secret';
let open: TestServer;
let guarded: TestServer;
let document: Document;
let ajv: Ajv2020;
beforeAll(async () => {
  const engine = () => new ScriptedEngine(says(['once ', 'more']), [{ id: 'stlm-small', state: 'ready' }], ['stlm-small']);
  open = await listen(engine());
  guarded = await listen(engine(), { keys: [{ name: 'web', sha256: await sha256Hex(key), requests_per_minute: 2, tokens_per_minute: 1_000 }] });
  document = (await (await fetch(`${open.url}/openapi.json`)).json()) as Document;
  ajv = new Ajv2020({ strict: false, allErrors: true });
  ajv.addSchema(document, 'openapi');
});
afterAll(async () => {
  await open.close();
  await guarded.close();
});

const operations = () => Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
/** References in a schema of the document are into the document. */
const validatorOf = (schema: object): ValidateFunction => ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"openapi#/')) as object);
const faults = (schema: object, value: unknown) => {
  const validate = validatorOf(schema);
  return validate(value) ? [] : (validate.errors ?? []);
};

describe('the OpenAPI document', () => {
  test('is valid OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document) as never);
    expect(errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    expect(document.openapi).toBe('3.1.0');
  });

  test('describes every route, with the schemas that validate', () => {
    expect(Object.keys(document.paths).toSorted()).toEqual([
      '/healthz',
      '/metrics',
      '/openapi.json',
      '/readyz',
      '/v1/chat/completions',
      '/v1/completions',
      '/v1/models',
      '/v1/models/{id}',
      '/v1/route',
    ]);
    const { schemas } = document.components;
    expect(schemas['CompletionRequest']!.required).toEqual(['model', 'prompt']);
    expect(schemas['ChatCompletionRequest']!.required).toEqual(['model', 'messages']);
    expect(schemas['CompletionRequest']!.properties['temperature']).toMatchObject({ minimum: 0, maximum: 2 });
    expect(Object.keys(schemas)).toEqual(expect.arrayContaining(['ChatCompletion', 'ChatCompletionChunk', 'Completion', 'CompletionChunk', 'Error', 'Problem', 'StlmReport']));
  });

  test('names, sorts and sums up each operation, once', () => {
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(operations().length);
    for (const { operation } of operations()) {
      expect(operation.summary).not.toBe('');
      expect(operation.tags).toHaveLength(1);
    }
  });

  test('has examples that its schemas allow', () => {
    let examples = 0;
    for (const { operation } of operations()) {
      const media = [operation.requestBody, ...Object.values(operation.responses)].flatMap((part) => Object.values(part?.content ?? {}));
      for (const { schema, example, examples: several = {} } of media) {
        for (const value of [...(example === undefined ? [] : [example]), ...Object.values(several).map(({ value }) => value)]) {
          expect(faults(schema, value)).toEqual([]);
          examples += 1;
        }
      }
      for (const { headers = {} } of Object.values(operation.responses)) {
        for (const { schema, example } of Object.values(headers)) expect(faults(schema, example)).toEqual([]);
      }
    }
    expect(examples).toBeGreaterThan(50);
  });

  test('shows requests that the server answers', async () => {
    for (const { path, operation } of operations()) {
      for (const { value } of Object.values(operation.requestBody?.content['application/json']?.examples ?? {})) {
        const named = { ...(value as object), model: 'stlm-auto' };
        expect((await open.post(path, named)).status).toBe(200);
      }
    }
  });
});

/** As a graph does that the runtime refuses. */
async function* failing(): AsyncGenerator<Uint8Array, never, void> {
  yield* [];
  throw new Error('no such graph');
}

/** What HTTP and the runtime add by themselves, or what a body is. */
const OF_THE_TRANSPORT = new Set(['connection', 'content-length', 'content-type', 'date', 'keep-alive', 'transfer-encoding', 'cache-control', 'x-accel-buffering']);

/** What of an answer the document does not say, or says otherwise. */
async function undescribed(path: string, method: string, response: Response): Promise<unknown[]> {
  const template = Object.keys(document.paths).find((one) => one === path) ?? '/v1/models/{id}';
  const said = document.paths[template]![method]?.responses[response.status];
  if (said === undefined) return [`${method} ${path} ${response.status}`];
  const type = response.headers.get('content-type')!.split(';')[0]!;
  const media = said.content?.[type];
  if (media === undefined) return [`${method} ${path} ${response.status} ${type}`];
  const names = [...response.headers.keys()].filter((name) => !OF_THE_TRANSPORT.has(name) && said.headers?.[name] === undefined);
  const headers = Object.entries(said.headers ?? {}).flatMap(([name, { schema }]) => {
    const value = response.headers.get(name);
    const isNumber = ['integer', 'number'].includes((schema as { type: string }).type);
    return value === null ? [] : faults(schema, isNumber ? Number(value) : value);
  });
  const text = await response.text();
  return [...names, ...headers, ...(type === 'text/event-stream' ? ofEvents(media.schema, text) : faults(media.schema, type.endsWith('json') ? JSON.parse(text) : text))];
}

/** Each event, and the JSON in it; the last one holds none. */
function ofEvents(schema: object, text: string): unknown[] {
  const [{ contentSchema }] = (schema as { properties: { data: { anyOf: [{ contentSchema: object }] } } }).properties.data.anyOf;
  const data = [...text.matchAll(/^data: (.*)$/gm)].map(([, one]) => one!);
  if (data.at(-1) !== '[DONE]' || data.length === 1) return ['no text, or no end'];
  const ofChunks = data.slice(0, -1).flatMap((chunk) => faults(contentSchema, JSON.parse(chunk)));
  return ofChunks.concat(data.flatMap((one) => faults(schema, { data: one })));
}

describe('every answer is as described', () => {
  const texts = { completion: { model: 'stlm-auto', prompt: 'say' }, chat: { model: 'stlm-auto', messages: [{ role: 'user', content: 'Hello!' }] } };
  const cases = [
    ['/v1/completions', texts.completion],
    ['/v1/chat/completions', texts.chat],
  ] as const;

  test.each(cases)('of %s: text, streams, and what is refused', async (path, body) => {
    const answers = [
      [200, await open.post(path, body)],
      [200, await open.post(path, { ...body, stream: true, stream_options: { include_usage: true }, n: 2 })],
      [400, await open.post(path, { ...body, temperature: 9 })],
      [404, await open.post(path, { ...body, model: 'gpt-9' })],
      [413, await open.post(path, { ...body, user: 'x'.repeat(2 << 20) })],
      [422, await open.post(path, { ...body, latency_budget_ms: 0.001 })],
      [400, await open.post(path, { ...body, temperature: 9 }, { headers: { accept: 'application/problem+json' } })],
      [401, await guarded.post(path, body)],
    ] as const;
    for (const [status, response] of answers) {
      expect(response.status).toBe(status);
      expect(await undescribed(path, 'post', response)).toEqual([]);
    }
  });

  test('of a limited key: what is left, and when to come back', async () => {
    const send = (fields: object = {}) => guarded.post('/v1/completions', { ...texts.completion, ...fields }, { headers: { authorization: `Bearer ${key}` } });
    const answers = [await send({ temperature: 9 }), await send(), await send()];
    expect(answers.map(({ status }) => status)).toEqual([400, 200, 429]);
    for (const name of ['limit', 'remaining', 'reset']) expect(answers[1]!.headers.get(`x-ratelimit-${name}-tokens`)).not.toBeNull();
    for (const response of answers) expect(await undescribed('/v1/completions', 'post', response)).toEqual([]);
  });

  test.each([
    [429, { kind: 'overloaded', retryAfterMs: 1_234.5, tiers: [] }],
    [503, { kind: 'loading', retryAfterMs: 400, tiers: [] }],
    [503, { kind: 'unavailable', tiers: [] }],
  ] as [number, Refusal][])('of a router that refuses: %i, %j', async (status, refusal) => {
    const router: Router = { policy: 'budget-first', route: () => refusal, explain: () => refusal, progress: () => undefined, observe: () => undefined, warm: async () => undefined, widen: async () => undefined };
    const server = await listen(new ScriptedEngine(says([])), { router });
    try {
      const response = await server.post('/v1/completions', texts.completion);
      expect(response.status).toBe(status);
      expect(await undescribed('/v1/completions', 'post', response)).toEqual([]);
      expect(await undescribed('/v1/route', 'post', await server.post('/v1/route', texts.completion))).toEqual([]);
    } finally {
      await server.close();
    }
  });

  test.each([
    [429, says([], 'deadline')],
    [500, failing],
  ] as [number, Script][])('of a request that was admitted and came to nothing: %i', async (status, script) => {
    const server = await listen(new ScriptedEngine(script));
    try {
      for (const stream of [false, true]) {
        const response = await server.post('/v1/completions', { ...texts.completion, stream });
        expect(response.status).toBe(status);
        expect(await undescribed('/v1/completions', 'post', response)).toEqual([]);
      }
    } finally {
      await server.close();
    }
  });

  test('of everything that is only read', async () => {
    for (const path of ['/v1/models', '/v1/models/stlm-auto', '/v1/models/stlm-small', '/v1/models/none', '/healthz', '/readyz', '/metrics', '/openapi.json']) {
      expect(await undescribed(path, 'get', await fetch(open.url + path))).toEqual([]);
    }
  });

  test('of another method: which ones there are', async () => {
    for (const [path, allow] of [['/v1/completions', 'POST'], ['/v1/models/stlm-auto', 'GET, HEAD'], ['/healthz', 'GET, HEAD']] as const) {
      for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
        const response = await fetch(open.url + path, { method });
        expect(response.status).toBe(405);
        expect(response.headers.get('allow')).toBe(allow);
        expect(await undescribed(path, allow.split(',')[0]!.toLowerCase(), response)).toEqual([]);
      }
    }
    expect((await fetch(`${open.url}/v1/models/stlm-auto/more`, { method: 'DELETE' })).status).toBe(404);
  });
});
