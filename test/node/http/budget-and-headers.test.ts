/** Where a budget may stand, and what every answer says of itself, as API.md promises: over HTTP, on both endpoints for text. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StlmReport } from '../../../functions/schema/answer.js';
import { says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';
import { readChunks } from './sse.js';

let server: TestServer;
beforeAll(async () => {
  server = await listen(new ScriptedEngine(says(['once ', 'more']), [{ id: 'stlm-small', state: 'ready' }], ['stlm-small']));
});
afterAll(() => server.close());

/** Each outvotes those after it. */
const SOURCES = [
  { source: 'latency_budget_ms', ms: 1_100, body: { latency_budget_ms: 1_100 } },
  { source: 'x-latency-budget-ms', ms: 2_200, headers: { 'x-latency-budget-ms': '2200' } },
  { source: 'model', ms: 3_300, body: { model: 'stlm-auto@3.3s' } },
  { source: 'prefer', ms: 4_000, headers: { prefer: 'wait=4' } },
  { source: 'x-stainless-timeout', ms: 5_000, headers: { 'x-stainless-timeout': '5' } },
  { source: 'service_tier', ms: 10_000, body: { service_tier: 'flex' } },
  { source: 'default', ms: 1_000 },
];

describe.each([
  ['/v1/completions', { model: 'stlm-auto', prompt: 'Once' }],
  ['/v1/chat/completions', { model: 'stlm-auto', messages: [{ role: 'user', content: 'Hello!' }] }],
])('%s', (path, base) => {
  const ask = (body: object = {}, headers: Record<string, string> = {}) => server.post(path, { ...base, ...body }, { headers });
  const reportOf = async (response: Response) => ((await response.json()) as { stlm: StlmReport }).stlm;

  test.each(SOURCES.map((one, index) => [one.source, SOURCES.slice(index)] as const))('takes its budget from %s, whatever comes after', async (_source, present) => {
    const body = Object.assign({}, ...present.map((one) => one.body ?? {}));
    const headers = Object.assign({}, ...present.map((one) => one.headers ?? {}));
    const [first] = present;
    expect(await reportOf(await ask(body, headers))).toMatchObject({ budget_source: first!.source, budget_ms: first!.ms });
    const route = await (await server.post('/v1/route', { prompt: 'Once', model: 'stlm-auto', ...body }, { headers })).json();
    expect(route).toMatchObject({ budget_source: first!.source, budget_ms: first!.ms });
  });

  test('promises in its headers what it reports in its body', async () => {
    const response = await ask();
    const { headers } = response;
    const report = await reportOf(response);
    expect(headers.get('x-stlm-model')).toBe(report.tier);
    expect(headers.get('x-stlm-predicted-ms')).toBe(report.predicted_ms.toFixed(1));
    expect(headers.get('x-stlm-route-reason')).toBe(report.route_reason);
    expect(headers.get('openai-processing-ms')).toBe(String(Math.round(report.actual_ms)));
    const timing = Object.fromEntries((headers.get('server-timing') ?? '').split(', ').map((part) => part.split(';dur=')));
    expect(timing).toEqual({
      queue: report.queue_ms.toFixed(1),
      load: report.load_ms.toFixed(1),
      prefill: report.prefill_ms.toFixed(1),
      decode: report.decode_ms.toFixed(1),
      total: report.actual_ms.toFixed(1),
    });
  });

  test('promises the same before a stream, and reports in its last chunk with text', async () => {
    const response = await ask({ stream: true, stream_options: { include_usage: true } });
    expect(response.headers.get('x-stlm-model')).toBe('stlm-small');
    expect(Number(response.headers.get('x-stlm-predicted-ms'))).toBeGreaterThan(0);
    expect(response.headers.get('x-stlm-route-reason')).toBe('fits');
    const chunks = await readChunks<{ choices: unknown[]; stlm?: StlmReport }>(response);
    expect(chunks.map(({ stlm }) => stlm !== undefined)).toEqual(chunks.map((_, index) => index === chunks.length - 2));
    expect(chunks.at(-2)!.stlm).toMatchObject({ tier: 'stlm-small', load_state: 'warm', energy_source: 'cpu_time' });
    expect(chunks.at(-2)!.stlm!.energy_joules).toBeGreaterThan(0);
  });
});

test('every answer has an id, and the log has it too', async () => {
  const body = { model: 'stlm-auto', prompt: 'Once' };
  const answers = [
    await server.post('/v1/completions', body),
    await server.post('/v1/completions', { ...body, stream: true }),
    await server.post('/v1/completions', { ...body, temperature: 9 }),
    await server.post('/v1/completions', { ...body, model: 'gpt-9' }),
    await fetch(`${server.url}/v1/completions`),
    ...(await Promise.all(['/', '/v1/models', '/healthz', '/metrics', '/openapi.json'].map((path) => fetch(server.url + path)))),
  ];
  for (const answer of answers) await answer.text();
  const logged = server.log.map((line) => (line as { requestId?: string }).requestId);
  for (const { headers } of answers) expect(logged).toContain(headers.get('x-request-id'));
});
