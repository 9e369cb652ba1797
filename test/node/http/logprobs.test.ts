/** Log-probabilities, echoes and what is chosen by them: through a real ONNX session in a real worker. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SPECIAL } from '../../../functions/engine/patch.js';
import { WorkerPool } from '../../../functions/engine/pool.js';
import { type ChatChunk, type ChatCompletion, chatChunkSchema, chatCompletionSchema } from '../../../functions/schema/chat.js';
import { type Completion, type CompletionChunk, completionChunkSchema, completionSchema } from '../../../functions/schema/completion.js';
import { chatModels, openRegistry } from '../engine-models.js';
import { listen, type TestServer } from './server.js';
import { readChunks } from './sse.js';

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

const PROMPT = 'The river ran by the old ci';
const DEFAULTS = { model: 'stlm-auto', prompt: PROMPT, max_tokens: 24, temperature: 0, latency_budget_ms: 60_000 };
const ask = (fields: object) => server.post('/v1/completions', { ...DEFAULTS, ...fields });
async function complete(fields: object): Promise<Completion> {
  const response = await ask(fields);
  expect(response.status).toBe(200);
  return completionSchema.parse(await response.json());
}
async function stream(fields: object): Promise<CompletionChunk[]> {
  const chunks = await readChunks<CompletionChunk>(await ask({ ...fields, stream: true }));
  return chunks.map((chunk) => completionChunkSchema.parse(chunk));
}
const logprobsOf = ({ choices }: Completion, index = 0) => choices[index]!.logprobs!;
const sum = (values: readonly (number | null)[]) => values.reduce<number>((total, value) => total + (value ?? 0), 0);
const bytesOf = (text: string) => [...new TextEncoder().encode(text)];
/** Nothing but bytes of characters beyond ASCII, so that most of them are only parts. */
const accented = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, byte >= 0xc3 && byte <= 0xc5 ? 40 : byte >= 0x80 && byte < 0xc0 ? 39 : 0]));

describe('logprobs', () => {
  test('are absent unless asked for', async () => {
    expect((await complete({})).choices[0]!.logprobs).toBeNull();
    for (const { choices } of await stream({})) expect(choices[0]!.logprobs).toBeNull();
  });

  test('have a token for each byte, its place, and the likeliest beside it', async () => {
    const completion = await complete({ logprobs: 3, logit_bias: { [SPECIAL.bod - 1]: -100 } });
    const { text } = completion.choices[0]!;
    const { tokens, token_logprobs, top_logprobs, text_offset, bytes } = logprobsOf(completion);
    expect(bytes.slice(0, completion.usage.completion_tokens)).toEqual(bytesOf(text));
    for (const list of [token_logprobs, top_logprobs, text_offset, bytes]) expect(list).toHaveLength(tokens.length);
    for (const [index, top] of top_logprobs.entries()) {
      // Greedy: the token is the likeliest of all that a text may hold.
      expect(top![tokens[index]!]).toBe(token_logprobs[index]);
      expect(Object.keys(top!).length).toBeGreaterThanOrEqual(3);
      expect(Object.keys(top!).length).toBeLessThanOrEqual(4);
      expect(Object.values(top!).reduce((total, one) => total + Math.exp(one), 0)).toBeLessThanOrEqual(1 + 1e-5);
    }
  });

  test('write what is no character by itself as its byte, and tell where its character begins', async () => {
    const completion = await complete({ logprobs: 0, logit_bias: accented, temperature: 1, seed: 3, max_tokens: 41 });
    const { text } = completion.choices[0]!;
    const { tokens, text_offset, bytes } = logprobsOf(completion);
    expect(text).toMatch(/[^\u0000-\u007f]/);
    for (const [index, byte] of bytes.entries()) {
      if (byte !== null && byte >= 0x80) expect(tokens[index]).toBe(`bytes:\\x${byte.toString(16)}`);
    }
    const characters = [...text];
    const own = (offset: number) => Uint8Array.from(bytes.filter((byte, index): byte is number => byte !== null && text_offset[index] === offset));
    expect(characters.map((_, offset) => new TextDecoder().decode(own(offset)))).toEqual(characters);
  });

  test('in a stream come with the bytes that they are of, though characters are held back', async () => {
    const fields = { logprobs: 2, logit_bias: accented, temperature: 1, seed: 3, max_tokens: 41 };
    const whole = await complete(fields);
    const chunks = await stream(fields);
    const told = chunks.flatMap(({ choices }) => choices);
    for (const { text, logprobs } of told) {
      const bytes = logprobs?.bytes.filter((byte) => byte !== null) ?? [];
      expect(new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes))).toBe(text);
    }
    const lists = ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset', 'bytes'] as const;
    for (const list of lists) expect(told.flatMap(({ logprobs }): unknown[] => logprobs?.[list] ?? [])).toEqual(logprobsOf(whole)[list]);
  });

  test('have no entries for a stop string', async () => {
    const { choices } = await complete({ logprobs: 0 });
    const stop = choices[0]!.text.slice(9, 12);
    const stopped = await complete({ logprobs: 0, stop });
    expect(stopped.choices[0]!.finish_reason).toBe('stop');
    expect(logprobsOf(stopped).bytes).toEqual(bytesOf(stopped.choices[0]!.text));
  });

  test('are those of the model, whatever sampling, penalties and forms make of them', async () => {
    const filtered = await complete({ logprobs: 0, temperature: 1.3, top_p: 0.9, min_p: 0.01, frequency_penalty: 0.5, repetition_penalty: 1.1, seed: 4 });
    const formed = await complete({ logprobs: 0, regex: '(yes|no), [a-z]{5,9}' });
    for (const { choices } of [filtered, formed]) {
      const { text, logprobs } = choices[0]!;
      const scored = await complete({ prompt: PROMPT + text, max_tokens: 0, echo: true, logprobs: 0 });
      const again = logprobsOf(scored).token_logprobs.slice(PROMPT.length);
      // Bytes of a text that is no UTF-8 are lost in it.
      if (!text.includes('\ufffd')) for (const [index, logprob] of again.entries()) expect(logprob).toBeCloseTo(logprobs!.token_logprobs[index]!, 1);
    }
  });

  test('of choices of one request are each their own', async () => {
    const completion = await complete({ prompt: [PROMPT, 'One '], n: 2, logprobs: 0, temperature: 1 });
    for (const { text, logprobs, index } of completion.choices) {
      expect(logprobs!.text_offset[0] ?? 0).toBe(0);
      if (!text.includes('\ufffd')) expect(logprobs!.bytes.filter((byte) => byte !== null), `choice ${index}`).toEqual(bytesOf(text));
    }
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
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(message.content);
    for (const { logprob, top_logprobs } of logprobs!.content) {
      expect(top_logprobs).toHaveLength(20);
      expect(top_logprobs.map((one) => one.logprob)).toEqual(top_logprobs.map((one) => one.logprob).toSorted((a, b) => b - a));
      expect(logprob).toBeLessThanOrEqual(top_logprobs[0]!.logprob);
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

describe('echo', () => {
  test('lets the text begin with the prompt, for every choice of every prompt, in a stream too', async () => {
    const plain = await complete({ prompt: [PROMPT, 'One '], n: 2, seed: 5 });
    const echoed = await complete({ prompt: [PROMPT, 'One '], n: 2, seed: 5, echo: true });
    expect(echoed.choices.map(({ text }) => text)).toEqual(plain.choices.map(({ text, index }) => (index < 2 ? PROMPT : 'One ') + text));
    expect(echoed.usage).toEqual(plain.usage);
    const chunks = await stream({ prompt: [PROMPT, 'One '], n: 2, seed: 5, echo: true });
    for (const { text, index } of echoed.choices) {
      expect(chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index).map((choice) => choice.text).join('')).toBe(text);
    }
  });

  test('with logprobs scores the prompt, of which the first byte has nothing before it', async () => {
    const completion = await complete({ echo: true, logprobs: 1 });
    const { text } = completion.choices[0]!;
    const { tokens, token_logprobs, top_logprobs, bytes, text_offset } = logprobsOf(completion);
    expect(text.startsWith(PROMPT)).toBe(true);
    expect(tokens.slice(0, PROMPT.length).join('')).toBe(PROMPT);
    expect(bytes.slice(0, PROMPT.length)).toEqual(bytesOf(PROMPT));
    expect(text_offset.slice(0, 5)).toEqual([0, 1, 2, 3, 4]);
    expect([token_logprobs[0], top_logprobs[0]]).toEqual([null, null]);
    expect(token_logprobs.slice(1).every((logprob) => logprob !== null && logprob <= 0)).toBe(true);
    const plain = await complete({ logprobs: 1 });
    expect(text).toBe(PROMPT + plain.choices[0]!.text);
  });

  test('in a stream tells the same', async () => {
    const whole = await complete({ echo: true, logprobs: 1 });
    const told = (await stream({ echo: true, logprobs: 1 })).flatMap(({ choices }) => choices);
    expect(told.map(({ text }) => text).join('')).toBe(whole.choices[0]!.text);
    expect(told.flatMap(({ logprobs }) => logprobs?.token_logprobs ?? [])).toEqual(logprobsOf(whole).token_logprobs);
    expect(told.flatMap(({ logprobs }) => logprobs?.text_offset ?? [])).toEqual(logprobsOf(whole).text_offset);
  });

  test('and max_tokens 0 only scores: more of the text before a byte, the same of what is the same', async () => {
    const scored = await complete({ echo: true, logprobs: 0, max_tokens: 0 });
    expect(scored.choices[0]).toMatchObject({ text: PROMPT, finish_reason: 'length' });
    expect(scored.usage).toMatchObject({ prompt_tokens: PROMPT.length, completion_tokens: 0 });
    const beginning = await complete({ prompt: PROMPT.slice(0, 11), echo: true, logprobs: 0, max_tokens: 0 });
    for (const [index, logprob] of logprobsOf(beginning).token_logprobs.entries()) {
      if (logprob !== null) expect(logprobsOf(scored).token_logprobs[index]).toBeCloseTo(logprob, 3);
    }
    expect((await complete({ echo: true, max_tokens: 0 })).choices[0]!.text).toBe(PROMPT);
  });

  test('of bytes that begin with the begin of a text scores their first too', async () => {
    const begun = await complete({ prompt: [SPECIAL.bod, ...bytesOf(PROMPT)], echo: true, logprobs: 1, max_tokens: 0 });
    const { tokens, token_logprobs, bytes, text_offset } = logprobsOf(begun);
    expect(begun.choices[0]!.text).toBe(PROMPT);
    expect([tokens[0], token_logprobs[0], bytes[0], text_offset[0]]).toEqual(['<|bod|>', null, null, 0]);
    expect(token_logprobs[1]).toBeLessThan(0);
    const plain = await complete({ prompt: PROMPT, echo: true, logprobs: 1, max_tokens: 0 });
    expect(token_logprobs.slice(2)).toEqual(logprobsOf(plain).token_logprobs.slice(1));
    expect(begun.usage.prompt_tokens).toBe(PROMPT.length + 1);
    expect(logprobsOf(await complete({ prompt: [SPECIAL.bod], echo: true, logprobs: 1, max_tokens: 0 })).tokens).toEqual(['<|bod|>']);
  });

  test('of a prompt beyond the context scores all of it, and says that it was read in parts', async () => {
    const long = 'The river ran by the old city walls. '.repeat(40);
    const { choices, stlm } = await complete({ prompt: long, echo: true, logprobs: 0, max_tokens: 0 });
    expect(choices[0]!.text).toBe(long);
    expect(choices[0]!.logprobs!.token_logprobs).toHaveLength(long.length);
    expect(stlm.context_truncated).toBe(true);
  });

  test('and logprobs of many bytes are refused by name', async () => {
    const response = await ask({ prompt: ['a'.repeat(40_000), 'b'.repeat(40_000)], echo: true, logprobs: 0, max_tokens: 0 });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: 'echo' } });
  });

  test('that no budget can score is no half of an answer', async () => {
    const long = 'The river ran by the old city walls. '.repeat(400);
    const response = await ask({ prompt: long, echo: true, logprobs: 0, max_tokens: 0, latency_budget_ms: 15 });
    expect([422, 429]).toContain(response.status);
  });
});

describe('best_of', () => {
  test('answers with the likeliest by the mean of their bytes, best first, and counts all', async () => {
    const fields = { temperature: 1.2, seed: 11, max_tokens: 20, logprobs: 0 };
    const all = await complete({ ...fields, n: 5 });
    const mean = (completion: Completion, index: number) => sum(logprobsOf(completion, index).token_logprobs) / logprobsOf(completion, index).tokens.length;
    const ranked = all.choices.map(({ text, index }) => ({ text, mean: mean(all, index) })).toSorted((a, b) => b.mean - a.mean);
    const best = await complete({ ...fields, n: 2, best_of: 5 });
    expect(best.choices.map(({ text }) => text)).toEqual(ranked.slice(0, 2).map(({ text }) => text));
    expect(best.choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(best.usage.completion_tokens).toBe(all.usage.completion_tokens);
    expect(best.usage.prompt_tokens).toBe(PROMPT.length);
    const untold = await complete({ ...fields, logprobs: null, n: 2, best_of: 5 });
    expect(untold.choices).toEqual(best.choices.map((choice) => ({ ...choice, logprobs: null })));
  });

  test('ranks the texts of each prompt among themselves', async () => {
    const fields = { prompt: [PROMPT, 'One '], temperature: 1.2, seed: 11, max_tokens: 12 };
    const both = await complete({ ...fields, best_of: 3 });
    expect(both.choices).toHaveLength(2);
    for (const [index, prompt] of fields.prompt.entries()) {
      expect((await complete({ ...fields, prompt, best_of: 3 })).choices[0]!.text).toBe(both.choices[index]!.text);
    }
  });
});

describe('penalties', () => {
  const letters = (text: string) => [...text].filter((character) => /\w/.test(character));

  test('on repetition are exact for every byte: greedy with all of them is what the log-probabilities say', async () => {
    const fields = { max_tokens: 30, frequency_penalty: 0.7, presence_penalty: 0.4, repetition_penalty: 1.3, logit_bias: { 10: -100 } };
    const { choices } = await complete({ ...fields, logprobs: 5 });
    const { bytes, top_logprobs, token_logprobs, tokens } = choices[0]!.logprobs!;
    const written: number[] = [];
    const prompt = bytesOf(PROMPT);
    for (const [index, byte] of bytes.entries()) {
      if (byte === null) break;
      const times = written.filter((one) => one === byte).length;
      // Another of the likeliest that has never been seen would have won, were it more than the penalties behind.
      for (const [token, logprob] of Object.entries(top_logprobs[index]!)) {
        const other = token.length === 1 ? token.charCodeAt(0) : undefined;
        if (other === undefined || token === tokens[index] || written.includes(other) || prompt.includes(other) || other === 10) continue;
        if (times === 0) continue;
        expect(token_logprobs[index]! - 0.7 * times - 0.4, `byte ${index}`).toBeGreaterThan(logprob - 1e-3);
      }
      written.push(byte);
    }
  });

  test('make a text less like itself, and below zero more', async () => {
    const distinct = async (fields: object) => {
      const { text } = (await complete({ max_tokens: 80, ...fields })).choices[0]!;
      return new Set(letters(text)).size;
    };
    const plain = await distinct({});
    expect(await distinct({ frequency_penalty: 2 })).toBeGreaterThan(plain);
    expect(await distinct({ repetition_penalty: 2 })).toBeGreaterThanOrEqual(plain);
  });

  test('of one text leave those beside it in its runs alone', async () => {
    const alone = (await complete({ max_tokens: 30 })).choices[0]!.text;
    const [plain, penalised] = await Promise.all([complete({ max_tokens: 30 }), complete({ max_tokens: 30, frequency_penalty: 2 })]);
    expect(plain.choices[0]!.text).toBe(alone);
    expect(penalised.choices[0]!.text).not.toBe(alone);
  });
});

test('min_p keeps only what is nearly as likely as the likeliest', async () => {
  const greedy = await complete({});
  const strict = await complete({ temperature: 1.5, min_p: 1, seed: 9 });
  expect(strict.choices[0]!.text).toBe(greedy.choices[0]!.text);
  const { choices } = await complete({ temperature: 2, min_p: 0.2, seed: 9, logprobs: 5 });
  const { token_logprobs, top_logprobs, bytes } = choices[0]!.logprobs!;
  for (const [index, logprob] of token_logprobs.entries()) {
    // At a temperature of 2 a share of 0.2 is one of 0.04 of the model's own probabilities.
    const likeliest = Math.max(...Object.values(top_logprobs[index]!));
    if (bytes[index] !== null) expect(logprob!).toBeGreaterThan(likeliest + 2 * Math.log(0.2) - 1e-3);
  }
});

test('max_words ends a text with its n-th word', async () => {
  const whole = await complete({ prompt: 'One ', max_tokens: 200, temperature: 1, seed: 2 });
  const words = whole.choices[0]!.text.match(/[\p{L}\p{N}'\u0080-\uffff]+/gu) ?? [];
  if (words.length > 3) {
    const { choices, stlm } = await complete({ prompt: 'One ', max_tokens: 200, temperature: 1, seed: 2, max_words: 3 });
    expect(whole.choices[0]!.text.startsWith(choices[0]!.text)).toBe(true);
    expect(choices[0]!.text.endsWith(words[2]!)).toBe(true);
    expect(choices[0]!.finish_reason).toBe('length');
    expect(stlm.stop_cause).toBe('length');
  }
});

describe('a suffix', () => {
  test('is read by the model: another gives another text', async () => {
    const fields = { max_tokens: 40, temperature: 0 };
    const one = await complete({ ...fields, suffix: ' and the gates were shut.' });
    const other = await complete({ ...fields, suffix: '() { return 1; }' });
    const none = await complete({ ...fields, suffix: '' });
    expect(one.usage.prompt_tokens).toBe(PROMPT.length + ' and the gates were shut.'.length + 3);
    expect(none.usage.prompt_tokens).toBe(PROMPT.length);
    expect(new Set([one, other, none].map(({ choices }) => choices[0]!.text)).size).toBe(3);
  });

  test('goes with several prompts, echo, logprobs and streams', async () => {
    const suffix = ' and the gates were shut.';
    const completion = await complete({ prompt: [PROMPT, 'One '], suffix, n: 2, logprobs: 1, seed: 3 });
    expect(completion.choices).toHaveLength(4);
    const echoed = await complete({ suffix, echo: true });
    const plain = await complete({ suffix });
    expect(echoed.choices[0]!.text).toBe(PROMPT + plain.choices[0]!.text);
    expect((await stream({ suffix })).map(({ choices }) => choices[0]!.text).join('')).toBe(plain.choices[0]!.text);
  });

  test('stays in sight of the text: it ends where the context does', async () => {
    const logit_bias = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, 40]));
    const { stlm, choices } = await complete({ suffix: ' end', max_tokens: 2_000, logit_bias });
    expect(stlm).toMatchObject({ stop_cause: 'length', context_truncated: false });
    expect(choices[0]!.text.length).toBeLessThan(2_000);
  });

  test('that leaves no room is cut far from the gap, and the answer says so', async () => {
    const suffix = 'and then they went on. '.repeat(100);
    const { stlm, usage } = await complete({ suffix, prompt: PROMPT.repeat(60) });
    expect(stlm.context_truncated).toBe(true);
    expect(stlm.prompt_patches).toBeLessThanOrEqual(128);
    expect(usage.prompt_tokens).toBeLessThan(128 * 12);
  });
});
