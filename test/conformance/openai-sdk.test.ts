/** The official SDK, unmodified, against the built server and the committed test model. */
import OpenAI, { BadRequestError, NotFoundError, UnprocessableEntityError } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StlmReport } from '../../functions/schema/answer.js';
import { type ServerProcess, startServer } from '../server-process.js';

let server: ServerProcess;
let client: OpenAI;
beforeAll(async () => {
  server = await startServer();
  const baseURL = `${server.url}/v1`;
  client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0, defaultHeaders: UNHURRIED });
});
afterAll(() => server.stop());

/** These tests are about shapes and texts: a busy machine should not cut them short. */
const UNHURRIED = { 'x-latency-budget-ms': '60000' };
const request = { model: 'stlm-auto', prompt: 'Once upon a time', max_tokens: 48, seed: 7 };
const reportOf = (answer: object) => (answer as { stlm: StlmReport }).stlm;

describe('the openai package', () => {
  test('completes', async () => {
    const completion = await client.completions.create(request);
    expect(completion.choices).toHaveLength(1);
    expect(completion.choices[0]!.text).not.toBe('');
    expect(completion.usage!.prompt_tokens).toBe(16);
    expect(completion.usage!.total_tokens).toBe(16 + completion.usage!.completion_tokens);
    expect(reportOf(completion).tier).toBe('stlm-tiny');
  });

  test('streams the text that it also gets whole', async () => {
    const whole = await client.completions.create(request);
    const stream = await client.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
    let text = '';
    const reasons: string[] = [];
    let usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? '';
      if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason);
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]!.text);
    expect(reasons).toEqual([whole.choices[0]!.finish_reason]);
    expect(usage).toEqual(whole.usage);
  });

  test('stops at a stop sequence, which is not part of the text', async () => {
    const { choices } = await client.completions.create({ ...request, temperature: 0 });
    const stop = choices[0]!.text.trim().slice(3, 5);
    const stopped = await client.completions.create({ ...request, temperature: 0, stop });
    expect(stopped.choices[0]!.text).toBe(choices[0]!.text.slice(0, choices[0]!.text.indexOf(stop)));
    expect(stopped.choices[0]!.finish_reason).toBe('stop');
  });

  test('continues raw bytes as it continues their text', async () => {
    const bytes = [...new TextEncoder().encode(request.prompt)];
    const [fromText, fromBytes] = [await client.completions.create(request), await client.completions.create({ ...request, prompt: bytes })];
    expect(fromBytes.choices[0]!.text).toBe(fromText.choices[0]!.text);
  });

  test('gets several choices for a prompt, which differ, and are the same again for the same seed', async () => {
    const { choices, usage } = await client.completions.create({ ...request, n: 3 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(choices.map(({ text }) => text)).size).toBe(3);
    expect(usage!.prompt_tokens).toBe(16);
    const again = await client.completions.create({ ...request, prompt: ['The ', 'Once upon a time'], n: 3 });
    expect(again.choices.slice(3).map(({ text }) => text)).toEqual(choices.map(({ text }) => text));
    expect(choices[0]!.text).toBe((await client.completions.create(request)).choices[0]!.text);
  });

  test('gets a choice for each of several prompts', async () => {
    const { choices } = await client.completions.create({ ...request, prompt: ['Once upon a time', 'The '] });
    expect(choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(choices.every(({ text }) => text !== '')).toBe(true);
  });

  test('gives its timeout as the latency budget, and an explicit one goes first', async () => {
    const unmodified = client.withOptions({ timeout: 5_000, defaultHeaders: {} });
    expect(reportOf(await unmodified.completions.create(request, { timeout: 5_000 }))).toMatchObject({ budget_ms: 5_000, budget_source: 'x-stainless-timeout' });
    const explicit = { ...request, latency_budget_ms: 700 };
    expect(reportOf(await unmodified.completions.create(explicit, { timeout: 5_000 }))).toMatchObject({ budget_ms: 700, budget_source: 'latency_budget_ms' });
  });

  test('gets log-probabilities, an echoed prompt, the best of several and penalties', async () => {
    const { choices } = await client.completions.create({ ...request, echo: true, logprobs: 2, max_tokens: 5, frequency_penalty: 0.5, presence_penalty: 0.1 });
    const { text, logprobs } = choices[0]!;
    expect(text.startsWith(request.prompt)).toBe(true);
    expect(logprobs!.tokens!.length).toBeGreaterThanOrEqual(request.prompt.length);
    expect(logprobs!.tokens!.slice(0, request.prompt.length).join('')).toBe(request.prompt);
    expect(logprobs!.text_offset![3]).toBe(3);
    const best = await client.completions.create({ ...request, n: 1, best_of: 3, max_tokens: 8 });
    expect(best.choices).toHaveLength(1);
    expect(best.usage!.completion_tokens).toBeGreaterThan(8);
  });

  test('lists and retrieves models', async () => {
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual(['stlm-auto', 'stlm-tiny']);
    expect((await client.models.retrieve('stlm-tiny')).owned_by).toBe('stlm');
  });

  test('throws its own typed errors, with the field at fault', async () => {
    const bad = client.completions.create({ ...request, temperature: 9 });
    await expect(bad).rejects.toThrow(BadRequestError);
    await expect(bad).rejects.toMatchObject({ param: 'temperature', code: 'invalid_value' });
    await expect(client.completions.create({ ...request, model: 'gpt-9' })).rejects.toThrow(NotFoundError);
    const chat = client.chat.completions.create({ model: 'stlm-tiny', messages: [{ role: 'user', content: 'Hello!' }] });
    await expect(chat).rejects.toMatchObject({ status: 400, param: 'model', code: 'model_not_chat' });
    await expect(client.completions.create({ ...request, latency_budget_ms: 0.001 } as never)).rejects.toThrow(UnprocessableEntityError);
  });

  test('stops the text when it leaves a stream', async () => {
    const stream = await client.completions.create({ ...request, max_tokens: 4_096, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0]!.text !== '') break;
    }
    await expect.poll(() => server.output.some((line) => line.includes('"status":499'))).toBe(true);
  });
});
