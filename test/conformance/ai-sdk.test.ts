/** The AI SDK, unmodified, against the built server: its completion model turns chats into text, its chat model speaks chat. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, streamText } from 'ai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerProcess } from '../server-process.js';
import { startChatServer } from './chat-server.js';

let server: ServerProcess;
let stlm: ReturnType<typeof createOpenAICompatible>;
beforeAll(async () => {
  server = await startChatServer();
  // These tests are about shapes and texts: a busy machine should not cut them short.
  stlm = createOpenAICompatible({ name: 'stlm', baseURL: `${server.url}/v1`, apiKey: 'none', headers: { 'x-latency-budget-ms': '60000' }, includeUsage: true });
});
afterAll(() => server.stop());

const asked = { prompt: 'Once upon a time', maxOutputTokens: 48, seed: 7, maxRetries: 0 };

describe.each(['completion', 'chat'] as const)('the AI SDK, %s', (kind) => {
  const model = () => (kind === 'chat' ? stlm.chatModel('stlm-auto') : stlm.completionModel('stlm-auto'));

  test('generates text', async () => {
    const { text, finishReason, usage } = await generateText({ model: model(), ...asked });
    expect(text).not.toBe('');
    expect(['stop', 'length']).toContain(finishReason);
    expect(usage.outputTokens).toBeGreaterThan(0);
    expect(usage.totalTokens).toBe(usage.inputTokens! + usage.outputTokens!);
  });

  test('streams the text that it also gets whole, and its usage', async () => {
    const whole = await generateText({ model: model(), ...asked });
    const stream = streamText({ model: model(), ...asked });
    let text = '';
    for await (const piece of stream.textStream) text += piece;
    expect(text).toBe(whole.text);
    expect((await stream.usage).outputTokens).toBe(whole.usage.outputTokens);
  });

  test('stops at a stop sequence', async () => {
    const { text } = await generateText({ model: model(), ...asked, temperature: 0 });
    const stop = text.trim().slice(3, 5);
    const stopped = await generateText({ model: model(), ...asked, temperature: 0, stopSequences: [stop] });
    expect(stopped.text).not.toContain(stop);
    expect(stopped.finishReason).toBe('stop');
  });

  test('throws its own error with what the server said', async () => {
    const wrong = generateText({ model: model(), ...asked, temperature: 9 });
    await expect(wrong).rejects.toThrow(APICallError);
    await expect(wrong).rejects.toMatchObject({ statusCode: 400, message: expect.stringContaining('temperature') });
  });

  test('ends the work on the server when it aborts', async () => {
    const before = server.output.length;
    const abort = new AbortController();
    const stream = streamText({ model: model(), ...asked, maxOutputTokens: 4_096, abortSignal: abort.signal, onError: () => undefined });
    for await (const part of stream.fullStream) if (part.type === 'text-delta') abort.abort();
    await expect.poll(() => server.output.slice(before).some((line) => line.includes('"status":499'))).toBe(true);
  });
});
