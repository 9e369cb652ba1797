/** The Worker inside workerd: real bucket, real WebAssembly, and an origin that does as it is told. */
import { env } from 'cloudflare:workers';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runtimeBytes } from '../../../functions/engine/ort-edge.js';
import type { IsolateEngine } from '../../../functions/engine/isolate.js';
import { deployEdge } from '../../../functions/entries/edge.js';
import { openEngine } from '../../../functions/entries/edge-engine.js';
import type { Bindings } from '../../../functions/entries/workerd.js';
import { refusal, route, ScriptedOrigin } from './scripted-origin.js';

const KEY = 'stlm-10m/stlm-10m.uint8.onnx';
const PROMPT = 'Once upon a time';
/** `printf %s secret | sha256sum` */
const KEYS = JSON.stringify({ keys: [{ name: 'anna', sha256: '2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b' }] });
/** Nothing here measures speed: a busy machine may take its time. */
const PATIENT_MS = 60_000;

type Body = Record<string, unknown>;
interface Answer {
  readonly choices: readonly { readonly text: string }[];
  readonly stlm: { readonly tier: string; readonly route_reason: string; readonly actual_ms: number; readonly stop_cause: string };
}

function deploy(bindings: Partial<Bindings> & Record<string, unknown>, engine?: IsolateEngine) {
  const deployed = deployEdge({ ...(env as unknown as Bindings), ...bindings }, engine);
  const post = (body: Body, init: RequestInit = {}) =>
    deployed.app.request('/v1/completions', { method: 'POST', body: JSON.stringify({ model: 'stlm-auto', prompt: PROMPT, ...body }), ...init });
  const write = async (body: Body) => (await (await post({ latency_budget_ms: PATIENT_MS, ...body })).json()) as Answer;
  return { ...deployed, post, write };
}

let model: ArrayBuffer;
let engine: IsolateEngine;
let origin: ScriptedOrigin;
let edge: ReturnType<typeof deploy>;

beforeAll(async () => {
  model = await (await env.ARTIFACTS.fetch(`http://disk/${KEY}`)).arrayBuffer();
  await env.MODELS.put(KEY, model);
  engine = openEngine(env as unknown as Bindings);
  await engine.load({ tier: 'stlm-10m', worker: 0 });
});

beforeEach(async () => {
  origin = new ScriptedOrigin();
  edge = deploy({ ORIGIN: origin.binding }, engine);
  await edge.origin!.ask();
});

describe('a request that the origin answers', () => {
  test('takes the way there and back off its budget', async () => {
    const response = await edge.post({ model: 'stlm-auto@5s', max_tokens: 40, user: 'anna' });
    const [asked] = origin.texts;
    expect(asked?.body).toMatchObject({ model: 'stlm-auto', prompt: PROMPT, max_tokens: 40, user: 'anna' });
    const networkMs = Number(response.headers.get('x-stlm-network-ms'));
    expect(asked?.body['latency_budget_ms']).toBeLessThanOrEqual(5_000 - networkMs);
    expect(asked?.body['latency_budget_ms']).toBeGreaterThan(2_000);
    expect(asked?.headers.get('x-request-id')).toBe(response.headers.get('x-request-id') ?? asked?.headers.get('x-request-id'));
    expect(await response.json()).toEqual({ tier: 'stlm-100m', budget: asked?.body['latency_budget_ms'] });
  });

  test('goes to the tier it names', async () => {
    await edge.post({ model: 'stlm-50m@9s' });
    expect(origin.texts[0]?.body).toMatchObject({ model: 'stlm-50m' });
  });

  test('is streamed as it comes', async () => {
    let goOn = () => {};
    const more = new Promise<void>((resolve) => (goOn = resolve));
    origin.answer = () => {
      const { readable, writable } = new TransformStream<Uint8Array>();
      const writer = writable.getWriter();
      void writer.write(new TextEncoder().encode('data: 1\n\n')).then(() => more).then(() => writer.write(new TextEncoder().encode('data: [DONE]\n\n'))).then(() => writer.close());
      return new Response(readable, { headers: { 'content-type': 'text/event-stream' } });
    };
    const response = await edge.post({ model: 'stlm-100m@9s', stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toBe('data: 1\n\n');
    goOn();
    expect((await reader.read()).value).toBe('data: [DONE]\n\n');
  });

  test('is ended there when its client leaves', async () => {
    const client = new AbortController();
    let arrived = () => {};
    const asked = new Promise<void>((resolve) => (arrived = resolve));
    origin.answer = ({ signal }) => {
      arrived();
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    };
    const answer = edge.post({ model: 'stlm-100m@9s' }, { signal: client.signal });
    await asked;
    client.abort();
    await answer;
    expect(origin.texts[0]?.signal.aborted).toBe(true);
  });

  test("is refused in the origin's own words where nothing here can do it", async () => {
    origin.answer = () => refusal(429, 'overloaded');
    const response = await edge.post({ model: 'stlm-100m@1s' });
    expect([response.status, await response.json()]).toMatchObject([429, { error: { code: 'overloaded' } }]);
  });

  test('is told the budget that would do from here, the way included', async () => {
    origin.answer = () => Response.json({ error: { message: 'no', type: 'invalid_request_error', param: null, code: 'latency_budget_infeasible', cheapest_feasible_ms: 700 } }, { status: 422 });
    const response = await edge.post({ model: 'stlm-100m@600ms' });
    const { error } = (await response.json()) as { error: { cheapest_feasible_ms: number } };
    const spentMs = 600 - (origin.texts[0]?.body['latency_budget_ms'] as number);
    expect(error.cheapest_feasible_ms).toBe(Math.ceil(700 + spentMs));
  });
});

describe('a request that is answered here', () => {
  test.each([
    ['overloaded', () => refusal(429, 'overloaded'), 'load'],
    ['without a tier that fits', () => refusal(422, 'latency_budget_infeasible'), 'budget'],
    ['failing', () => new Response('oops', { status: 500 }), 'origin_down'],
    ['stopping', () => refusal(503, 'draining'), 'origin_down'],
    ['gone', () => Promise.reject(new Error('connection refused')), 'origin_down'],
  ])('says that the origin was %s', async (_, answer, reason) => {
    origin.answer = answer;
    expect((await edge.write({ max_tokens: 8 })).stlm).toMatchObject({ tier: 'stlm-10m', route_reason: reason });
  });

  test('is begun in time when the origin is silent, which is told to stop', async () => {
    let ended = false;
    origin.answer = ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => ((ended = true), reject(new Error('aborted')))));
    const { stlm } = await edge.write({ latency_budget_ms: 4_000, max_tokens: 24 });
    expect(stlm).toMatchObject({ tier: 'stlm-10m', route_reason: 'origin_slow' });
    expect(stlm.actual_ms).toBeLessThan(4_000);
    expect(ended).toBe(true);
    // Nobody else waits for it until it has answered a question.
    expect((await edge.write({ max_tokens: 8 })).stlm.route_reason).toBe('origin_down');
    expect(origin.texts).toHaveLength(1);
  });

  test('stays here when no larger tier would fit', async () => {
    origin.forecast = () => Response.json(route(100_000));
    edge = deploy({ ORIGIN: origin.binding }, engine);
    await edge.origin!.ask();
    expect((await edge.write({ max_tokens: 8 })).stlm.route_reason).toBe('budget');
    expect(origin.texts).toHaveLength(0);
  });

  test('gives the same text whatever else is written meanwhile', async () => {
    const texts = [0, 1, 2].map((seed) => ({ model: 'stlm-10m', prompt: `${PROMPT} ${'there was '.repeat(seed * 9)}`, max_tokens: 32, seed }));
    const alone: string[] = [];
    for (const text of texts) alone.push((await edge.write(text)).choices[0]!.text);
    const together = await Promise.all(texts.map(edge.write));
    expect(together.map(({ choices }) => choices[0]?.text)).toEqual(alone);
  });

  test('leaves the isolate room', async () => {
    await edge.write({ model: 'stlm-10m', prompt: 'The fox and the dog. '.repeat(150), max_tokens: 16 });
    expect(runtimeBytes()).toBeGreaterThan(0);
    expect(runtimeBytes()).toBeLessThan(64 * 2 ** 20);
  });
});

describe('without a whole model in the bucket', () => {
  test.each([
    ['missing', null, `${KEY} is not in the bucket`],
    ['truncated', (whole: ArrayBuffer) => whole.slice(1), 'bytes, not the'],
    ['damaged', (whole: ArrayBuffer) => new Uint8Array(whole).with(1_000_000, 7).buffer, 'its sha256 is'],
  ])('the larger tiers serve, and it says that it is %s', async (_, damage, reason) => {
    const MODELS = { get: async () => damage && { size: damage(model).byteLength, arrayBuffer: async () => damage(model) } };
    const { app, engine, write } = deploy({ MODELS, ORIGIN: origin.binding });
    await expect(engine.load({ tier: 'stlm-10m', worker: 0 })).rejects.toThrow(reason);
    expect(await write({ model: 'stlm-auto' })).toMatchObject({ tier: 'stlm-100m' });
    expect(await write({ model: 'stlm-10m' })).toMatchObject({ tier: 'stlm-100m' });
    const { tiers } = (await (await app.request('/readyz')).json()) as { tiers: Body[] };
    expect(tiers[0]).toMatchObject({ id: 'stlm-10m', state: 'quarantined', reason: expect.stringContaining(reason) });
  });
});

describe('who may ask', () => {
  test('is decided here, and the key goes on to the origin', async () => {
    const { post } = deploy({ ORIGIN: origin.binding, STLM_KEYS: KEYS, STLM_OPEN: 'false' });
    expect((await post({ model: 'stlm-50m@9s' })).status).toBe(401);
    expect(origin.texts).toHaveLength(0);
    expect((await post({ model: 'stlm-50m@9s' }, { headers: { authorization: 'Bearer secret' } })).status).toBe(200);
    expect(origin.texts[0]?.headers.get('authorization')).toBe('Bearer secret');
  });

  test('is limited by the platform', async () => {
    const { post } = deploy({ ORIGIN: origin.binding, STLM_KEYS: KEYS, STLM_OPEN: 'false' });
    const statuses = new Set<number>();
    for (let request = 0; request <= 600; request += 1) statuses.add((await post({ model: '' }, { headers: { authorization: 'Bearer secret' } })).status);
    expect([...statuses]).toEqual([400, 429]);
  });

  test('needs a decision of the operator', () => {
    expect(() => deploy({ STLM_OPEN: 'false' })).toThrow('STLM_KEYS');
  });

  test('finds no metrics of one isolate among many', async () => {
    expect((await edge.app.request('/metrics')).status).toBe(404);
  });

  test('learns which field is wrong without asking the origin', async () => {
    const response = await edge.post({ model: 'stlm-auto', max_tokens: 0 });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param: 'max_tokens' } }]);
    expect(origin.texts).toHaveLength(0);
  });
});
