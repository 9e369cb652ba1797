/** Chat with the official SDK, unmodified, against the built server and the test model, which here says that it was tuned to chat. */
import OpenAI, { BadRequestError } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StlmReport } from '../../functions/schema/answer.js';
import type { ServerProcess } from '../server-process.js';
import { startChatServer } from './chat-server.js';

let server: ServerProcess;
let client: OpenAI;
beforeAll(async () => {
  server = await startChatServer();
  // These tests are about shapes and texts: a busy machine should not cut them short.
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0, defaultHeaders: { 'x-latency-budget-ms': '60000' } });
});
afterAll(() => server.stop());

const system = { role: 'system' as const, content: 'Be kind.' };
const hello = { role: 'user' as const, content: 'Hello!' };
const request = { model: 'stlm-auto', messages: [system, hello], max_tokens: 48, seed: 7 };

describe('the openai package', () => {
  test('chats, and takes its own answer as the next turn', async () => {
    const first = await client.chat.completions.create(request);
    const { message, finish_reason: finishReason } = first.choices[0]!;
    expect(first.object).toBe('chat.completion');
    expect(message).toMatchObject({ role: 'assistant', refusal: null });
    expect(message.content).not.toBe('');
    expect(['stop', 'length']).toContain(finishReason);
    expect((first as unknown as { stlm: StlmReport }).stlm.tier).toBe('stlm-tiny');

    const second = await client.chat.completions.create({ ...request, messages: [...request.messages, message, { role: 'user', content: 'Go on.' }] });
    expect(second.usage!.prompt_tokens).toBeGreaterThan(first.usage!.prompt_tokens);
  });

  test('streams the reply that it also gets whole', async () => {
    const whole = await client.chat.completions.create(request);
    const stream = await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
    const roles: unknown[] = [];
    const reasons: string[] = [];
    let [text, usage]: [string, OpenAI.CompletionUsage | undefined] = ['', undefined];
    for await (const chunk of stream) {
      const [choice] = chunk.choices;
      if (choice?.delta.role) roles.push(choice.delta.role);
      if (choice?.finish_reason) reasons.push(choice.finish_reason);
      text += choice?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(roles).toEqual(['assistant']);
    expect(reasons).toEqual([whole.choices[0]!.finish_reason]);
    expect(usage).toEqual(whole.usage);
  });

  test("puts a stream together by its own helper", async () => {
    const whole = await client.chat.completions.create(request);
    const final = await client.chat.completions.stream(request).finalChatCompletion();
    expect(final.choices[0]!.message).toMatchObject({ role: 'assistant', content: whole.choices[0]!.message.content });
    expect(final.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason);
  });

  test('gets the log-probabilities of a reply, and its own helper puts those of a stream together', async () => {
    const wanted = { ...request, logprobs: true, top_logprobs: 3 };
    const { content } = (await client.chat.completions.create(wanted)).choices[0]!.logprobs!;
    expect(content!.length).toBeGreaterThan(0);
    expect(content!.every(({ top_logprobs: top }) => top.length === 3)).toBe(true);
    const final = await client.chat.completions.stream(wanted).finalChatCompletion();
    expect(final.choices[0]!.logprobs!.content).toEqual(content);
  });

  test('sends parts of text and a developer message', async () => {
    const parts = [{ type: 'text' as const, text: hello.content }];
    const messages = [{ ...system, role: 'developer' as const }, { role: 'user' as const, content: parts }];
    const [plain, inParts] = [await client.chat.completions.create(request), await client.chat.completions.create({ ...request, messages })];
    expect(inParts.choices).toEqual(plain.choices);
  });

  test('throws its own typed errors, with the field at fault', async () => {
    const rejection = async (fields: object) => {
      const error: unknown = await client.chat.completions.create({ ...request, ...fields, stream: false }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(BadRequestError);
      return error as BadRequestError;
    };
    expect(await rejection({ messages: [] })).toMatchObject({ param: 'messages', code: 'invalid_value' });
    expect(await rejection({ tools: [{ type: 'function', function: { name: 'f' } }] })).toMatchObject({ param: 'tools' });
    expect(await rejection({ top_logprobs: 3 })).toMatchObject({ param: 'top_logprobs' });
    expect(await rejection({ n: 9 })).toMatchObject({ param: 'n' });
  });

  test('stops the reply when it leaves a stream', async () => {
    const stream = await client.chat.completions.create({ ...request, max_tokens: 4_096, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0]!.delta.content) break;
    }
    await expect.poll(() => server.output.some((line) => line.includes('"status":499'))).toBe(true);
  });
});
