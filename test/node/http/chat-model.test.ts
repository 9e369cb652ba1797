/** Chats answered by a real ONNX session in a real worker. */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bestRuntime, openSession } from '../../../functions/engine/open-session.js';
import { Pace } from '../../../functions/engine/pace.js';
import type { PromptIds } from '../../../functions/engine/patch.js';
import { WorkerPool } from '../../../functions/engine/pool.js';
import type { ChatChunk, ChatCompletion, ChatMessage } from '../../../functions/schema/chat.js';
import { chatModels, greedy, openRegistry, textOf, tinyModel } from '../engine-models.js';
import { Solo } from '../engine-solo.js';
import { listen, type TestServer } from './server.js';
import { readChunks } from './sse.js';

const python = JSON.parse(readFileSync('test/fixtures/chat-prompts.json', 'utf8')) as { messages: ChatMessage[]; ids: number[] }[];
const CONTEXT_PATCHES = 128;

let folder: string;
let pool: WorkerPool;
let server: TestServer;
beforeAll(async () => {
  folder = await chatModels();
  const workerUrl = new URL('../../../dist/functions/engine/worker.js', import.meta.url);
  pool = new WorkerPool({ registry: await openRegistry(folder), workerUrl, workers: 1, threads: 1 });
  server = await listen(pool);
});
afterAll(async () => {
  await server.close();
  await pool.close();
  await rm(folder, { recursive: true });
});

const ask = (messages: unknown, fields: object = {}) =>
  server.post('/v1/chat/completions', { model: 'stlm-auto', messages, max_tokens: 40, temperature: 0, latency_budget_ms: 60_000, ...fields });
const reply = async (messages: unknown, fields: object = {}) => (await (await ask(messages, fields)).json()) as ChatCompletion;
const contentOf = ({ choices }: ChatCompletion) => choices[0]!.message.content;

/** What the model says after these ids, without server, worker or template. */
async function continuation(prompt: PromptIds): Promise<string> {
  const { file, shape } = await tinyModel();
  const { runtime } = await bestRuntime();
  const session = await openSession(file, { runtime, threads: 1 });
  const pace = new Pace({ prefillPatchMs: 0, decodePatchMs: 0 });
  const generation = new Solo({ session, shape, pace, nowMs: () => 0 }, greedy('', { prompt, maxBytes: 40 }));
  const chunks: Uint8Array[] = [];
  while (generation.outcome === undefined) chunks.push(await generation.step());
  return new TextDecoder().decode(Buffer.from(textOf(chunks), 'latin1'));
}

describe('a reply', () => {
  test('is what the model says after the ids of Python', async () => {
    for (const { messages, ids } of python) {
      const withoutBod = ids.slice(1);
      const content = contentOf(await reply(messages));
      expect(content).not.toBe('');
      expect(content).toBe(await continuation(Uint16Array.from(withoutBod)));
      // The marks are read: without them the same text goes on otherwise.
      expect(content).not.toBe(await continuation(Uint8Array.from(withoutBod.filter((id) => id < 256))));
    }
  });

  test('is the same in pieces', async () => {
    const [, { messages }] = python as [unknown, { messages: ChatMessage[] }];
    const chunks = await readChunks<ChatChunk>(await ask(messages, { stream: true }));
    expect(chunks.map(({ choices }) => choices[0]!.delta.content ?? '').join('')).toBe(contentOf(await reply(messages)));
  });

  test('ends with the turn, and says stop', async () => {
    const logit_bias = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, -100]));
    const { choices, stlm, usage } = await reply([{ role: 'user', content: 'Hello!' }], { logit_bias });
    expect(choices[0]).toMatchObject({ message: { content: '' }, finish_reason: 'stop' });
    expect(stlm.stop_cause).toBe('eod');
    expect(usage.completion_tokens).toBe(0);
  });

  test('to a chat that outgrew the context is the reply to its system text and newest turns', async () => {
    const system = { role: 'system', content: 'Be kind.' };
    const turns = Array.from({ length: 101 }, (_, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content: `turn number ${index}` }));
    const long = await reply([system, ...turns]);
    expect(long.stlm.context_truncated).toBe(true);
    // 40 bytes of reply take 40 / bytesPerPatch patches and, of short words, half as many again; a further turn would have taken 4.
    expect(long.stlm.prompt_patches).toBeLessThanOrEqual(CONTEXT_PATCHES - 12);
    expect(long.stlm.prompt_patches).toBeGreaterThan(CONTEXT_PATCHES - 12 - 4);
    const keptTurns = (long.stlm.prompt_patches - 2 - 4) / 4;
    const short = await reply([system, ...turns.slice(-keptTurns)]);
    expect(short.stlm).toMatchObject({ context_truncated: false, prompt_patches: long.stlm.prompt_patches });
    expect(contentOf(short)).toBe(contentOf(long));
  });

  test.each([false, true])('that outgrows its room ends with the context, and never forgets its system text (streamed: %s)', async (stream) => {
    const messages = [{ role: 'system', content: 'Be kind.' }, { role: 'user', content: 'Say it all.' }];
    // Neither mark that would end it, and short words.
    const logit_bias = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, byte < 128 ? 40 : -60]));
    const fields = { max_tokens: 4_096, logit_bias, stream };
    const last = stream ? (await readChunks<ChatChunk>(await ask(messages, fields))).at(-1)! : await reply(messages, fields);
    expect(last.choices[0]!.finish_reason).toBe('length');
    expect(last.stlm).toMatchObject({ stop_cause: 'context', context_truncated: false });
    // The last patch is written and not read.
    expect(last.stlm!.prompt_patches + last.stlm!.decoded_patches).toBe(CONTEXT_PATCHES + 1);
  });

  test('in a form that outgrows its room says that the context cut it', async () => {
    const { choices, stlm } = await reply([{ role: 'user', content: 'Count.' }], { max_tokens: 4_096, regex: '([a-z] ){1000}' });
    expect(choices[0]!.finish_reason).toBe('length');
    expect(choices[0]!.message.content).toMatch(/^([a-z] )+$/);
    expect(stlm).toMatchObject({ stop_cause: 'context', context_truncated: false });
  });

  test('whose reader leaves stops its compute', async () => {
    const leave = new AbortController();
    const messages = [{ role: 'user', content: 'Hello!' }];
    const logit_bias = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, 40]));
    const body = JSON.stringify({ model: 'stlm-auto', messages, max_tokens: 4_096, logit_bias, latency_budget_ms: 60_000, stream: true });
    const response = await fetch(`${server.url}/v1/chat/completions`, { method: 'POST', body, signal: leave.signal });
    await response.body!.getReader().read();
    leave.abort();
    await expect.poll(() => server.records).toContainEqual(expect.objectContaining({ event: 'outcome', result: expect.objectContaining({ stopCause: 'cancelled' }) }));
  });
});
