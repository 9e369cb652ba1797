/** Fields that say how a text is chosen, from the model to the answer. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Completion } from '../../../functions/schema/completion.js';
import { ascii, bytesTold, logprobsOf, type ModelServer, PROMPT, startModelServer } from './model-server.js';

let server: ModelServer;
beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server.close());

const textOf = ({ choices }: Completion) => choices[0]!.text;
const everyByte = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, 40]));

describe('best_of', () => {
  const fields = { temperature: 1.2, seed: 11, max_tokens: 20, logprobs: 0 };

  test('answers with the likeliest by the mean of their bytes, best first, and counts all', async () => {
    const all = await server.complete({ ...fields, n: 5 });
    const mean = (index: number) => logprobsOf(all, index).token_logprobs.reduce<number>((sum, one) => sum + one!, 0) / logprobsOf(all, index).tokens.length;
    const ranked = all.choices.toSorted((a, b) => mean(b.index) - mean(a.index)).map(({ text }) => text);
    const best = await server.complete({ ...fields, n: 2, best_of: 5 });
    expect(best.choices.map(({ text, index }) => [text, index])).toEqual([[ranked[0], 0], [ranked[1], 1]]);
    expect(best.usage).toEqual(all.usage);
    const untold = await server.complete({ ...fields, logprobs: null, n: 2, best_of: 5 });
    expect(untold.choices.map(({ text, logprobs }) => [text, logprobs])).toEqual(ranked.slice(0, 2).map((text) => [text, null]));
  });

  test('says of each why it ended, and of all what cut most', async () => {
    const texts = (await server.complete({ ...fields, n: 6, logit_bias: ascii })).choices.map(({ text }) => text);
    const stop = [...texts.join('')].find((byte) => !texts.every((text) => text.includes(byte)));
    const all = await server.complete({ ...fields, n: 6, logit_bias: ascii, stop });
    const reasons = (completion: Completion) => new Map(completion.choices.map(({ text, finish_reason: reason }) => [text, reason]));
    expect(new Set(reasons(all).values())).toEqual(new Set(['stop', 'length']));
    const best = await server.complete({ ...fields, n: 5, best_of: 6, logit_bias: ascii, stop });
    expect(best.choices).toHaveLength(5);
    for (const [text, reason] of reasons(best)) expect(reason).toBe(reasons(all).get(text));
    expect(best.stlm.stop_cause).toBe('length');
  });

  test('ranks the texts of each prompt among themselves', async () => {
    const prompts = [PROMPT, 'One '];
    const both = await server.complete({ ...fields, prompt: prompts, best_of: 3 });
    const alone = await Promise.all(prompts.map((prompt) => server.complete({ ...fields, prompt, best_of: 3 })));
    expect(both.choices.map(({ text }) => text)).toEqual(alone.map(textOf));
  });

  test('with echo shows the prompt before each', async () => {
    const { choices } = await server.complete({ ...fields, logprobs: null, echo: true, n: 2, best_of: 3 });
    expect(choices.every(({ text }) => text.startsWith(PROMPT))).toBe(true);
  });
});

describe('penalties', () => {
  const kinds = async (fields: object) => new Set(textOf(await server.complete({ max_tokens: 80, logit_bias: everyByte, ...fields }))).size;

  test.each([{ frequency_penalty: 1 }, { presence_penalty: 2 }, { repetition_penalty: 1.8 }])('%j makes a text less like itself', async (fields) => {
    expect(await kinds(fields)).toBeGreaterThan(await kinds({}));
  });

  test('below zero make it more so', async () => {
    expect(await kinds({ frequency_penalty: -2 })).toBeLessThan(await kinds({}));
  });

  test('on repetition see the prompt too', async () => {
    const text = async (fields: object) => textOf(await server.complete({ prompt: 'zq zq zq zq zq', max_tokens: 8, ...fields }));
    expect(await text({ repetition_penalty: 2 })).not.toBe(await text({}));
    expect(await text({ repetition_penalty: 1 })).toBe(await text({}));
  });

  test('of one text leave those beside it in its runs alone', async () => {
    const fields = { max_tokens: 30, logit_bias: ascii };
    const alone = textOf(await server.complete(fields));
    const [plain, penalised] = await Promise.all([server.complete(fields), server.complete({ ...fields, frequency_penalty: 2 })]);
    expect(textOf(plain)).toBe(alone);
    expect(textOf(penalised)).not.toBe(alone);
  });

  test('with a seed give the same text again', async () => {
    const fields = { temperature: 1, seed: 4, frequency_penalty: 0.3, repetition_penalty: 1.2, min_p: 0.02 };
    expect(textOf(await server.complete(fields))).toBe(textOf(await server.complete(fields)));
  });
});

describe('the least that a field may be', () => {
  const LEAST = Number.MIN_VALUE;
  const drawn = { temperature: 1, seed: 9 };

  test.each<[fields: object, as: object]>([
    [{ temperature: LEAST }, {}],
    [{ temperature: LEAST, top_p: 0.5, min_p: 0.5, top_k: 7 }, {}],
    [{ ...drawn, top_p: LEAST }, {}],
    [{ ...drawn, min_p: LEAST }, drawn],
    [{ ...drawn, frequency_penalty: LEAST, presence_penalty: -LEAST }, drawn],
    [{ ...drawn, logit_bias: { 65: LEAST } }, drawn],
  ])('%j is as good as %j', async (fields, as) => {
    expect(textOf(await server.complete(fields))).toBe(textOf(await server.complete(as)));
  });

  test.each([
    { repetition_penalty: 0.01 },
    { ...drawn, repetition_penalty: 0.01, frequency_penalty: -2, presence_penalty: -2 },
    { temperature: LEAST, top_p: LEAST, min_p: LEAST, top_k: 1, repetition_penalty: 0.01, frequency_penalty: LEAST, presence_penalty: LEAST },
  ])('%j still chooses bytes that the model finds possible, in JSON that has all their figures', async (fields) => {
    const completion = await server.complete({ ...fields, logprobs: 5, max_tokens: 60, logit_bias: ascii });
    const { token_logprobs, top_logprobs } = logprobsOf(completion);
    expect(bytesTold(completion)).toHaveLength(60);
    expect(bytesTold(completion)).not.toContain(0);
    for (const logprob of [...token_logprobs, ...top_logprobs.flatMap((top) => Object.values(top!))]) expect(logprob).toBeTypeOf('number');
  });
});

test('min_p keeps only what is nearly as likely as the likeliest', async () => {
  expect(textOf(await server.complete({ temperature: 1.5, min_p: 1, seed: 9 }))).toBe(textOf(await server.complete({})));
  const completion = await server.complete({ temperature: 2, min_p: 0.2, seed: 9, logprobs: 5, max_tokens: 60 });
  const { token_logprobs, top_logprobs } = logprobsOf(completion);
  expect(token_logprobs.length).toBeGreaterThan(10);
  for (const [index, logprob] of token_logprobs.entries()) {
    // At a temperature of 2 a share of 0.2 is one of 0.04 of the model's own probabilities.
    expect(logprob!).toBeGreaterThan(Math.max(...Object.values(top_logprobs[index]!)) + 2 * Math.log(0.2) - 1e-3);
  }
});

test('max_words ends a text with its n-th word, in a stream too', async () => {
  const fields = { prompt: 'One ', max_tokens: 200, temperature: 0.8, seed: 2, logit_bias: { ...everyByte, ...ascii } };
  const whole = textOf(await server.complete(fields));
  const words = [...whole.matchAll(/[A-Za-z0-9']+/g)];
  expect(words.length).toBeGreaterThan(5);
  for (const count of [1, 2, 5]) {
    const completion = await server.complete({ ...fields, max_words: count });
    const last = words[count - 1]!;
    expect(textOf(completion)).toBe(whole.slice(0, last.index + last[0].length));
    expect(completion.choices[0]!.finish_reason).toBe('length');
    expect(completion.stlm.stop_cause).toBe('length');
    expect((await server.stream({ ...fields, max_words: count })).map(({ choices }) => choices[0]!.text).join('')).toBe(textOf(completion));
  }
});

describe('a suffix', () => {
  const suffix = ' and the gates were shut.';

  test('is read by the model: with another its bytes are otherwise probable', async () => {
    const one = await server.complete({ suffix, logprobs: 0 });
    const other = await server.complete({ suffix: '() { return 1; }', logprobs: 0 });
    const none = await server.complete({ suffix: '', logprobs: 0 });
    expect([one, none].map(({ usage }) => usage.prompt_tokens)).toEqual([PROMPT.length + suffix.length + 3, PROMPT.length]);
    expect(new Set([one, other, none].map((completion) => logprobsOf(completion).token_logprobs[0])).size).toBe(3);
  });

  test('goes with several prompts, choices, logprobs, echo and streams', async () => {
    expect((await server.complete({ prompt: [PROMPT, 'One '], suffix, n: 2, logprobs: 1, seed: 3 })).choices).toHaveLength(4);
    const plain = await server.complete({ suffix });
    expect(textOf(await server.complete({ suffix, echo: true }))).toBe(PROMPT + textOf(plain));
    expect((await server.stream({ suffix })).map(({ choices }) => choices[0]!.text).join('')).toBe(textOf(plain));
  });

  test('stays in sight of the text, which ends where the context does', async () => {
    const { stlm, usage } = await server.complete({ suffix, max_tokens: 2_000, logit_bias: everyByte });
    expect(stlm).toMatchObject({ stop_cause: 'context', context_truncated: false });
    expect(usage.completion_tokens).toBeLessThan(2_000);
  });

  test('that leaves no room is cut far from the gap, and the answer says so', async () => {
    const { stlm } = await server.complete({ suffix: 'and then they went on. '.repeat(100), prompt: PROMPT.repeat(60) });
    expect(stlm.context_truncated).toBe(true);
    expect(stlm.prompt_patches).toBeLessThanOrEqual(128);
  });
});
