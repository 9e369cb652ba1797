/** Log-probabilities of texts, of replies and of streams of both. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Stlm } from '../../../functions/client/index.js';
import { type ChatChunk, type ChatCompletion, chatChunkSchema, chatCompletionSchema } from '../../../functions/schema/chat.js';
import { ascii, bytesOf, bytesTold, DEFAULTS, logprobsOf, type ModelServer, PROMPT, startModelServer } from './model-server.js';
import { readChunks } from './sse.js';

let server: ModelServer;
beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server.close());

/** Hardly anything but characters of two bytes. */
const accented = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, byte >= 0xc3 && byte <= 0xc5 ? 40 : byte >= 0x80 && byte < 0xc0 ? 39 : 0]));
const decode = (bytes: readonly number[]) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));

describe('logprobs', () => {
  test('are absent unless asked for', async () => {
    expect((await server.complete({})).choices[0]!.logprobs).toBeNull();
    for (const { choices } of await server.stream({})) expect(choices[0]!.logprobs).toBeNull();
  });

  test('have a token for each byte, its place, and the likeliest beside it', async () => {
    const completion = await server.complete({ logprobs: 3, logit_bias: ascii });
    const { tokens, token_logprobs, top_logprobs, text_offset } = logprobsOf(completion);
    expect(bytesTold(completion)).toEqual(bytesOf(completion.choices[0]!.text));
    for (const list of [tokens, top_logprobs, text_offset]) expect(list).toHaveLength(token_logprobs.length);
    for (const [index, top] of top_logprobs.entries()) {
      expect(top![tokens[index]!]).toBe(token_logprobs[index]);
      expect([3, 4]).toContain(Object.keys(top!).length);
      expect(Object.values(top!).reduce((total, one) => total + Math.exp(one), 0)).toBeLessThanOrEqual(1 + 1e-5);
    }
  });

  test('write what is no character by itself as its byte, and tell where its character begins', async () => {
    const completion = await server.complete({ logprobs: 0, logit_bias: accented, temperature: 1, seed: 3, max_tokens: 41 });
    const { tokens, text_offset, bytes } = logprobsOf(completion);
    const parts = bytes.flatMap((byte, index) => (byte !== null && byte >= 0x80 ? [index] : []));
    expect(parts.length).toBeGreaterThan(20);
    for (const index of parts) expect(tokens[index]).toBe(`bytes:\\x${bytes[index]!.toString(16)}`);
    const characters = [...completion.choices[0]!.text];
    const own = (offset: number) => bytes.filter((byte, index): byte is number => byte !== null && text_offset[index] === offset);
    expect(characters.map((_, offset) => decode(own(offset)))).toEqual(characters);
  });

  test('in a stream come with the bytes that they are of, though characters are held back', async () => {
    const fields = { logprobs: 2, logit_bias: accented, temperature: 1, seed: 3, max_tokens: 41 };
    const whole = await server.complete(fields);
    const told = (await server.stream(fields)).flatMap(({ choices }) => choices);
    for (const { text, logprobs } of told) expect(decode(logprobs?.bytes.filter((byte) => byte !== null) ?? [])).toBe(text);
    const lists = ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset', 'bytes'] as const;
    for (const list of lists) expect(told.flatMap(({ logprobs }): unknown[] => logprobs?.[list] ?? [])).toEqual(logprobsOf(whole)[list]);
  });

  test('tell the mark with which the model ends a text, as lm-eval counts on a token after the prompt', async () => {
    const logit_bias = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, -100]));
    for (const [echo, shown] of [[true, PROMPT], [false, '']] as const) {
      const completion = await server.complete({ max_tokens: 1, logprobs: 1, echo, logit_bias });
      const { tokens, token_logprobs, bytes, text_offset } = logprobsOf(completion);
      expect(completion.choices[0]).toMatchObject({ text: shown, finish_reason: 'stop' });
      expect(completion.usage.completion_tokens).toBe(0);
      expect(tokens).toHaveLength(shown.length + 1);
      expect(tokens.at(-1)).toMatch(/^<\|(eod|end_of_turn)\|>$/);
      expect([bytes.at(-1), text_offset.at(-1)]).toEqual([null, shown.length]);
      expect(token_logprobs.at(-1)).toBeLessThan(0);
    }
  });

  test('have no entries for a stop string', async () => {
    const { choices } = await server.complete({ logprobs: 0, logit_bias: ascii });
    const stop = choices[0]!.text.slice(9, 12);
    const stopped = await server.complete({ logprobs: 0, logit_bias: ascii, stop });
    expect(stopped.choices[0]!.finish_reason).toBe('stop');
    expect(logprobsOf(stopped).bytes).toEqual(bytesOf(stopped.choices[0]!.text));
  });

  test.each([
    [{ temperature: 1.3, top_p: 0.9, min_p: 0.01, frequency_penalty: 0.5, repetition_penalty: 1.1, seed: 4 }],
    [{ regex: '(yes|no), [a-z]{5,9}' }],
  ])('are those of the model, whatever chose the bytes: %j', async (fields) => {
    const { text, logprobs } = (await server.complete({ logprobs: 0, logit_bias: ascii, ...fields })).choices[0]!;
    const scored = await server.complete({ prompt: PROMPT + text, max_tokens: 0, echo: true, logprobs: 0 });
    const again = logprobsOf(scored).token_logprobs.slice(PROMPT.length);
    expect(again).toHaveLength(text.length);
    // Quantised kernels round a row differently in runs of another size.
    for (const [index, logprob] of again.entries()) expect(logprob).toBeCloseTo(logprobs!.token_logprobs[index]!, 1);
  });

  test('of choices of one request, which share runs, are each their own', async () => {
    const completion = await server.complete({ prompt: [PROMPT, 'One '], n: 2, logprobs: 0, temperature: 1, logit_bias: ascii });
    expect(completion.choices).toHaveLength(4);
    for (const { text, index } of completion.choices) expect(bytesTold(completion, index)).toEqual(bytesOf(text));
  });
});

describe('logprobs of a chat', () => {
  const chat = (fields: object) =>
    server.post('/v1/chat/completions', { ...DEFAULTS, prompt: undefined, messages: [{ role: 'user', content: 'Hello!' }], logprobs: true, ...fields });

  test('tell of each byte of the reply its likeliest, and nothing of the mark that ends it', async () => {
    const reply = chatCompletionSchema.parse(await (await chat({ top_logprobs: 20 })).json()) as ChatCompletion;
    const { message, logprobs } = reply.choices[0]!;
    expect(logprobs!.refusal).toBeNull();
    const bytes = logprobs!.content.flatMap(({ bytes }) => bytes!);
    expect(bytes).toHaveLength(reply.usage.completion_tokens);
    expect(decode(bytes)).toBe(message.content);
    for (const { logprob, top_logprobs } of logprobs!.content) {
      expect(top_logprobs).toHaveLength(20);
      const values = top_logprobs.map((one) => one.logprob);
      expect(values).toEqual(values.toSorted((a, b) => b - a));
      expect(logprob).toBeLessThanOrEqual(values[0]!);
    }
  });

  test('come in a stream with the bytes that they are of, and without top_logprobs none beside them', async () => {
    const whole = chatCompletionSchema.parse(await (await chat({})).json()) as ChatCompletion;
    const chunks = (await readChunks<ChatChunk>(await chat({ stream: true }))).map((chunk) => chatChunkSchema.parse(chunk));
    const told = chunks.flatMap(({ choices }) => choices[0]!.logprobs?.content ?? []);
    expect(told).toEqual(whole.choices[0]!.logprobs!.content);
    expect(told.every(({ top_logprobs }) => top_logprobs.length === 0)).toBe(true);
  });
});

test('logprobs come through the client of this server, in streams too', async () => {
  const client = new Stlm({ baseUrl: `${server.url}/v1`, budgetMs: 60_000 });
  const options = { prompt: PROMPT, max_tokens: 24, temperature: 0, logprobs: 1 };
  const { choices } = await client.complete(options);
  const told: (number | null)[] = [];
  for await (const { logprobs } of client.stream(options)) told.push(...(logprobs?.token_logprobs ?? []));
  expect(told).toEqual(choices[0]!.logprobs!.token_logprobs);
  const chat = { messages: [{ role: 'user' as const, content: 'Hello!' }], max_tokens: 8, temperature: 0, logprobs: true };
  const reply = await client.chat(chat);
  const content: unknown[] = [];
  for await (const { logprobs } of client.streamChat(chat)) content.push(...(logprobs?.content ?? []));
  expect(content).toEqual(reply.choices[0]!.logprobs!.content);
});
