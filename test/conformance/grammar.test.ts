/** Text in a form, over HTTP, from the test model: it knows neither JSON nor sense, and always answers in the form. */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerProcess } from '../server-process.js';
import { startChatServer } from './chat-server.js';

let server: ServerProcess;
let client: OpenAI;
beforeAll(async () => {
  server = await startChatServer();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0, defaultHeaders: { 'x-latency-budget-ms': '60000' } });
});
afterAll(() => server.stop());

const request = { model: 'stlm-auto', prompt: 'Once upon a time', max_tokens: 80 };
const messages = [{ role: 'user' as const, content: 'Who are you?' }];
const schema = { type: 'object', properties: { city: { enum: ['Oslo', 'Bergen'] }, days: { type: 'integer', minimum: 0 } }, required: ['city', 'days'], additionalProperties: false };

describe('a form for the text', () => {
  test('as a regular expression', async () => {
    const { choices } = await client.completions.create({ ...request, regex: '(?:yes|no), [a-z]{3,9}' } as typeof request);
    expect(choices[0]!.text).toMatch(/^(?:yes|no), [a-z]{3,9}$/);
    expect(choices[0]!.finish_reason).toBe('stop');
  });

  test('as any JSON object, in a chat', async () => {
    const { choices } = await client.chat.completions.create({ model: 'stlm-auto', messages, max_tokens: 120, response_format: { type: 'json_object' } });
    expect(JSON.parse(choices[0]!.message.content!)).toBeTypeOf('object');
  });

  test('as a schema, streamed', async () => {
    const format = { type: 'json_schema' as const, json_schema: { name: 'trip', strict: true, schema } };
    const stream = await client.chat.completions.create({ model: 'stlm-auto', messages, max_tokens: 60, response_format: format, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(JSON.parse(text)).toEqual({ city: expect.stringMatching(/^(?:Oslo|Bergen)$/), days: expect.any(Number) });
  });

  test('by the parser of the openai package', async () => {
    const format = { type: 'json_schema' as const, json_schema: { name: 'trip', strict: true, schema } };
    const { choices } = await client.chat.completions.parse({ model: 'stlm-auto', messages, max_tokens: 60, response_format: format });
    expect(choices[0]!.finish_reason).toBe('stop');
  });

  test('that does not fit the length is refused by it', async () => {
    const short = client.completions.create({ ...request, max_tokens: 5, regex: '[a-z]{9}' } as typeof request);
    await expect(short).rejects.toMatchObject({ status: 400, param: 'max_tokens', message: expect.stringContaining('9 bytes') });
  });

  test('is only one', async () => {
    const both = client.completions.create({ ...request, regex: 'a', response_format: { type: 'json_object' } } as typeof request);
    await expect(both).rejects.toMatchObject({ status: 400, param: 'regex' });
  });
});
