/** LangChain's OpenAI classes, unmodified, against the built server. */
import { AIMessage, HumanMessage, SystemMessage, type UsageMetadata } from '@langchain/core/messages';
import { ChatOpenAI, OpenAI } from '@langchain/openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerProcess } from '../server-process.js';
import { startChatServer } from './chat-server.js';

let server: ServerProcess;
beforeAll(async () => {
  server = await startChatServer();
});
afterAll(() => server.stop());

const fields = (more: object = {}) => ({
  model: 'stlm-auto',
  apiKey: 'none',
  maxTokens: 48,
  maxRetries: 0,
  configuration: { baseURL: `${server.url}/v1`, defaultHeaders: { 'x-latency-budget-ms': '60000' } },
  ...more,
});

describe('LangChain', () => {
  test('completes a text, and several in one request', async () => {
    const llm = new OpenAI(fields());
    expect(await llm.invoke('Once upon a time')).not.toBe('');
    const { generations } = await llm.generate(['Once upon a time', 'The ']);
    expect(generations.map(([one]) => one!.text !== '')).toEqual([true, true]);
  });

  test('streams a completion', async () => {
    let text = '';
    for await (const piece of await new OpenAI(fields({ streaming: true })).stream('Once upon a time')) text += piece;
    expect(text).not.toBe('');
  });

  test('chats, with roles, and counts what it used', async () => {
    const chat = new ChatOpenAI(fields());
    const said = [new SystemMessage('Be kind.'), new HumanMessage('Hello!'), new AIMessage('Hello.'), new HumanMessage('Go on.')];
    const answer = await chat.invoke(said);
    expect(answer.content).not.toBe('');
    const used = answer.usage_metadata as UsageMetadata | undefined;
    expect(used!.total_tokens).toBe(used!.input_tokens + used!.output_tokens);
  });

  test('streams a chat, usage included', async () => {
    let text = '';
    let usage;
    for await (const { content, usage_metadata: used } of await new ChatOpenAI(fields()).stream('Hello!')) {
      text += String(content);
      usage = used ?? usage;
    }
    expect(text).not.toBe('');
    expect(usage!.output_tokens).toBeGreaterThan(0);
  });

  test('fails with what the server said', async () => {
    await expect(new OpenAI(fields({ temperature: 9 })).invoke('x')).rejects.toThrow(/temperature/);
    await expect(new ChatOpenAI(fields({ model: 'gpt-9' })).invoke('x')).rejects.toThrow(/does not exist/);
  });

  test('gives up at its timeout, and the server stops', async () => {
    // A text that cannot end sooner.
    const llm = new OpenAI(fields({ maxTokens: 4_096, timeout: 50, modelKwargs: { regex: '[a-z ]{3000}' } }));
    await expect(llm.invoke('Once upon a time')).rejects.toThrow(/timed? ?out/i);
    await expect.poll(() => server.output.some((line) => line.includes('"status":499'))).toBe(true);
  });
});
