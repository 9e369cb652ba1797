/** Prompts that begin alike, through a real worker: read once, and told in `usage`. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WorkerPool } from '../../../functions/engine/pool.js';
import type { Completion, CompletionChunk } from '../../../functions/schema/completion.js';
import { openRegistry } from '../engine-models.js';
import { listen, type TestServer } from './server.js';
import { readChunks } from './sse.js';

/** The test model reads 16 patches in a chunk. These are 81, the begin of the document among them, of which the end is always read. */
const REUSED_BYTES = 3 * 79;
const prompt = (subject: string) => `${subject} ${'ab '.repeat(79)}`;

let pool: WorkerPool;
let server: TestServer;
beforeAll(async () => {
  const workerUrl = new URL('../../../dist/functions/engine/worker.js', import.meta.url);
  pool = new WorkerPool({ registry: await openRegistry(), workerUrl, workers: 1, threads: 1 });
  server = await listen(pool);
});
afterAll(async () => {
  await server.close();
  await pool.close();
});

async function complete(text: string | readonly string[], authorization?: string): Promise<Completion> {
  const headers = { 'content-type': 'application/json', ...(authorization !== undefined && { authorization }) };
  const body = { model: 'stlm-auto', prompt: text, max_tokens: 20, seed: 3, latency_budget_ms: 60_000 };
  const response = await server.post('/v1/completions', body, { headers });
  expect(response.status).toBe(200);
  return (await response.json()) as Completion;
}
const cachedTokens = ({ usage }: Completion) => usage.prompt_tokens_details.cached_tokens;

test('a repeated prompt is read once, and continues with the same bytes', async () => {
  const first = await complete(prompt('aa'));
  const again = await complete(prompt('aa'));
  expect([cachedTokens(first), cachedTokens(again)]).toEqual([0, REUSED_BYTES]);
  expect(again.choices).toEqual(first.choices);
});

test('prompts of one request may share, and their cached tokens are counted together', async () => {
  await complete(prompt('bb'));
  const both = await complete([prompt('bb'), prompt('bb')]);
  expect(cachedTokens(both)).toBe(2 * REUSED_BYTES);
  expect(both.usage.prompt_tokens).toBe(2 * prompt('bb').length);
});

test('no key finds what another has asked, nor do clients without one', async () => {
  await complete(prompt('cc'), 'Bearer mine');
  expect(cachedTokens(await complete(prompt('cc'), 'Bearer yours'))).toBe(0);
  expect(cachedTokens(await complete(prompt('cc')))).toBe(0);
  expect(cachedTokens(await complete(prompt('cc'), 'Bearer mine'))).toBe(REUSED_BYTES);
});

test('a prompt that is scored is read again, and nobody forgets for it what is known', async () => {
  await complete(prompt('ee'));
  await complete(prompt('ff'));
  const body = { model: 'stlm-auto', prompt: prompt('ee'), max_tokens: 20, seed: 3, latency_budget_ms: 60_000, echo: true, logprobs: 0 };
  const scored = (await (await server.post('/v1/completions', body)).json()) as Completion;
  expect(cachedTokens(scored)).toBe(0);
  for (const known of ['ee', 'ff']) expect(pool.cachedPatches('stlm-tiny', new TextEncoder().encode(prompt(known)), 'anonymous')[0]).toBeGreaterThan(0);
  expect(cachedTokens(await complete(prompt('ee')))).toBe(REUSED_BYTES);
});

test('a stream says so in its usage', async () => {
  await complete(prompt('dd'));
  const body = { model: 'stlm-auto', prompt: prompt('dd'), max_tokens: 20, stream: true, stream_options: { include_usage: true }, latency_budget_ms: 60_000 };
  const chunks = (await readChunks(await server.post('/v1/completions', body))) as CompletionChunk[];
  expect(chunks.at(-1)!.usage!.prompt_tokens_details.cached_tokens).toBe(REUSED_BYTES);
});
