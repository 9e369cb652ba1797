import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { formatTraceparent, parseTraceparent } from '../../functions/tracing/trace-context.js';
import { type ServerProcess, startServer } from '../server-process.js';
import { endless, says, ScriptedEngine } from './http/scripted-engine.js';
import { listen, type TestServer } from './http/server.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALLER = '00f067aa0ba902b7';

describe('traceparent', () => {
  test.each(['00', '01'])('is read as it is written, with flags %s', (flags) => {
    const header = `00-${TRACE}-${CALLER}-${flags}`;
    expect(parseTraceparent(header)).toEqual({ traceId: TRACE, spanId: CALLER, sampled: flags === '01' });
    expect(formatTraceparent(parseTraceparent(header)!)).toBe(header);
  });

  test.each([
    undefined,
    '',
    `00-${TRACE}-${CALLER}`,
    `00-${TRACE.toUpperCase()}-${CALLER}-01`,
    `00-${'0'.repeat(32)}-${CALLER}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE}-${CALLER}-01-more`,
    `ff-${TRACE}-${CALLER}-01`,
  ])('%j means nothing', (header) => expect(parseTraceparent(header)).toBeUndefined());

  test('of a later version may say more', () => {
    expect(parseTraceparent(`cc-${TRACE}-${CALLER}-01-more`)).toEqual({ traceId: TRACE, spanId: CALLER, sampled: true });
  });
});

describe('a request', () => {
  let server: TestServer;
  afterEach(() => server.close());

  const complete = (headers: Record<string, string> = {}, fields: object = {}) =>
    fetch(`${server.url}/v1/completions`, { method: 'POST', headers, body: JSON.stringify({ model: 'stlm-auto', prompt: 'Once', ...fields }) });

  test.each([false, true])('stays in the trace of its caller, in the answer and in the log; streamed: %s', async (stream) => {
    server = await listen(new ScriptedEngine(says(['word'])));
    const response = await complete({ traceparent: `00-${TRACE}-${CALLER}-01` }, { stream });
    await response.text();
    const answered = parseTraceparent(response.headers.get('traceresponse')!)!;
    expect(answered).toMatchObject({ traceId: TRACE, sampled: true });
    expect(answered.spanId).not.toBe(CALLER);
    await expect.poll(() => server.log).toContainEqual(expect.objectContaining({ message: 'answered', trace_id: TRACE, span_id: answered.spanId }));
  });

  test('without a caller, or with one that says nothing, begins a trace of its own', async () => {
    server = await listen(new ScriptedEngine(says(['word'])));
    const responses = [await complete(), await complete({ traceparent: 'nonsense' })];
    const ids = responses.map(({ headers }) => parseTraceparent(headers.get('traceresponse')!)!.traceId);
    expect(new Set([...ids, TRACE]).size).toBe(3);
  });

  test('that is refused is in the trace too', async () => {
    server = await listen(new ScriptedEngine(says([])), { keys: [{ name: 'web', sha256: '0'.repeat(64) }] });
    const response = await complete({ traceparent: `00-${TRACE}-${CALLER}-01` });
    expect(response.status).toBe(401);
    expect(parseTraceparent(response.headers.get('traceresponse')!)).toMatchObject({ traceId: TRACE });
  });

  test('whose client left is in the trace, with 499', async () => {
    server = await listen(new ScriptedEngine(endless));
    const leaving = new AbortController();
    const request = fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      headers: { traceparent: `00-${TRACE}-${CALLER}-01` },
      body: JSON.stringify({ model: 'stlm-auto', prompt: 'Once', stream: true }),
      signal: leaving.signal,
    });
    await (await request).body!.getReader().read();
    leaving.abort();
    await expect.poll(() => server.log).toContainEqual(expect.objectContaining({ status: 499, trace_id: TRACE }));
  });
});

/** As OTLP's JSON has it. */
interface Exported {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
  readonly status: { readonly code: number };
}

describe('a server with a collector', () => {
  const PROMPT = 'a prompt that is nobody else’s business';
  const SERVER = 2;
  let collector: Server;
  let server: ServerProcess;
  const bodies: string[] = [];
  const headers: unknown[] = [];
  /** From before the first request until the server had stopped. */
  let wholeMs: number;
  let completion: { id: string; choices: { text: string }[]; stlm: Record<string, number> };

  beforeAll(async () => {
    collector = createServer(async (request, response) => {
      if (request.url === '/v1/traces') bodies.push(await text(request));
      headers.push(request.headers['x-tenant']);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    }).listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: 'texts', OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=me' });
    const startMs = performance.now();
    const post = (path: string, body: object, traceparent: string) => fetch(server.url + path, { method: 'POST', headers: { traceparent }, body: JSON.stringify(body) });
    const request = { model: 'stlm-auto', prompt: PROMPT, max_tokens: 24, temperature: 0.5, seed: 7, latency_budget_ms: 60_000 };
    completion = await (await post('/v1/completions', request, `00-${TRACE}-${CALLER}-01`)).json() as typeof completion;
    await post('/v1/completions', { ...request, model: 'nope' }, `00-${TRACE}-${CALLER}-00`);
    await fetch(`${server.url}/healthz`);
    // What is still waiting goes with it.
    await server.stop();
    wholeMs = performance.now() - startMs;
  });
  afterAll(() => void collector.close());

  const exported = () => bodies.flatMap((body) => (JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Exported[] }[] }[] }).resourceSpans).flatMap(({ scopeSpans }) => scopeSpans).flatMap(({ spans }) => spans);
  const ofTrace = () => exported().filter(({ traceId }) => traceId === TRACE);
  const ms = ({ startTimeUnixNano: from, endTimeUnixNano: to }: Exported) => Number(BigInt(to) - BigInt(from)) / 1e6;

  test('sends it the request as a span of its caller’s trace, by the conventions for generative AI', () => {
    const span = ofTrace().find(({ kind }) => kind === SERVER)!;
    expect(span).toMatchObject({ name: 'POST /v1/completions', parentSpanId: CALLER });
    expect(Object.fromEntries(span.attributes.map(({ key, value }) => [key, Object.values(value)[0]]))).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/v1/completions',
      'http.response.status_code': 200,
      'gen_ai.operation.name': 'text_completion',
      'gen_ai.request.model': 'stlm-auto',
      'gen_ai.request.max_tokens': 24,
      'gen_ai.request.temperature': 0.5,
      'gen_ai.request.seed': 7,
      'gen_ai.response.id': completion.id,
      'gen_ai.response.model': 'stlm-tiny',
      'gen_ai.response.finish_reasons': { values: [{ stringValue: expect.stringMatching(/^(length|stop)$/) }] },
      'gen_ai.usage.input_tokens': Buffer.byteLength(PROMPT),
      'gen_ai.usage.output_tokens': expect.any(Number),
      'stlm.budget_ms': 60_000,
    });
    // The last byte of the text is followed by the rest of the answer.
    expect(ms(span)).toBeGreaterThan(completion.stlm['actual_ms']! - 1);
    expect(ms(span)).toBeLessThan(wholeMs);
  });

  test('and inside it queue, load, prefill and decode, as long as the answer says, one after the other', () => {
    const request = ofTrace().find(({ kind }) => kind === SERVER);
    const stages = ofTrace().filter(({ parentSpanId }) => parentSpanId === request!.spanId);
    expect(stages.map(({ name }) => name)).toEqual(['queue', 'load', 'prefill', 'decode']);
    for (const stage of stages) expect(ms(stage)).toBeCloseTo(completion.stlm[`${stage.name}_ms`]!, 0);
    expect(stages.slice(1).map(({ startTimeUnixNano }) => startTimeUnixNano)).toEqual(stages.slice(0, -1).map(({ endTimeUnixNano }) => endTimeUnixNano));
    expect(BigInt(stages[0]!.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(request!.startTimeUnixNano));
    expect(BigInt(stages[3]!.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(request!.endTimeUnixNano));
  });

  test('but no probe, no trace that its caller does not record, no prompt and no text', () => {
    expect(exported().some(({ name }) => name.includes('healthz'))).toBe(false);
    expect(ofTrace().filter(({ kind }) => kind === SERVER)).toHaveLength(1);
    for (const said of [PROMPT, JSON.stringify(completion.choices[0]!.text).slice(1, -1)]) expect(bodies.join('')).not.toContain(said);
  });

  test('under the name and with the headers of the environment', () => {
    expect(JSON.parse(bodies[0]!)).toMatchObject({ resourceSpans: [{ resource: { attributes: expect.arrayContaining([{ key: 'service.name', value: { stringValue: 'texts' } }]) } }] });
    expect(new Set(headers)).toEqual(new Set(['me']));
  });
});

test('a collector that is gone costs log lines and no answer', async () => {
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_BSP_SCHEDULE_DELAY: '50' });
  const answer = await fetch(`${server.url}/v1/completions`, { method: 'POST', body: '{"model":"stlm-auto","prompt":"Once","latency_budget_ms":60000}' });
  expect(answer.status).toBe(200);
  expect(await server.stop()).toBe(0);
  expect(server.output.join('\n')).toContain('"msg":"traces"');
});
