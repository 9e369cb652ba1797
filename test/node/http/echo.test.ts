/** Texts that begin with their prompt, and prompts that are scored. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SPECIAL } from '../../../functions/engine/patch.js';
import { bytesOf, logprobsOf, type ModelServer, PROMPT, startModelServer } from './model-server.js';

/** `document_bits` of the test model's `ArtifactScorer` (`model-core/stlm/evaluation/scoring.py`); its context is 128 patches. */
const python = JSON.parse(readFileSync('test/fixtures/scores.json', 'utf8')) as { text: string; bits: number }[];

let server: ModelServer;
beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server.close());

describe('echo', () => {
  test('lets the text begin with the prompt, for every choice of every prompt, in a stream too', async () => {
    const fields = { prompt: [PROMPT, 'One '], n: 2, seed: 5 };
    const plain = await server.complete(fields);
    const echoed = await server.complete({ ...fields, echo: true });
    expect(echoed.choices.map(({ text }) => text)).toEqual(plain.choices.map(({ text, index }) => (index < 2 ? PROMPT : 'One ') + text));
    expect(echoed.usage).toEqual(plain.usage);
    const pieces = (await server.stream({ ...fields, echo: true })).flatMap(({ choices }) => choices);
    const streamed = echoed.choices.map(({ index }) => pieces.filter((piece) => piece.index === index).map(({ text }) => text).join(''));
    expect(streamed).toEqual(echoed.choices.map(({ text }) => text));
  });

  test('of bytes that are no UTF-8 shows them with what follows, as one text', async () => {
    const [first, second] = bytesOf('é');
    const bias = { [second!]: 100 };
    const { choices } = await server.complete({ prompt: [...bytesOf('caf'), first!], echo: true, max_tokens: 1, logit_bias: bias });
    expect(choices[0]!.text).toBe('café');
  });

  test('does not count as the first byte of the text', async () => {
    const { stlm } = await server.complete({ echo: true });
    expect(stlm.time_to_first_byte_ms).toBeGreaterThanOrEqual(stlm.prefill_ms);
  });
});

describe('echo with logprobs', () => {
  test('scores the prompt, of which the first byte has nothing before it', async () => {
    const completion = await server.complete({ echo: true, logprobs: 1 });
    const { tokens, token_logprobs, top_logprobs, bytes, text_offset } = logprobsOf(completion);
    expect(tokens.slice(0, PROMPT.length).join('')).toBe(PROMPT);
    expect(bytes.slice(0, PROMPT.length)).toEqual(bytesOf(PROMPT));
    expect(text_offset.slice(0, PROMPT.length)).toEqual([...PROMPT].map((_, index) => index));
    expect([token_logprobs[0], top_logprobs[0]]).toEqual([null, null]);
    expect(token_logprobs.slice(1).every((logprob) => logprob !== null && logprob <= 0)).toBe(true);
    const plain = await server.complete({ logprobs: 1 });
    expect(completion.choices[0]!.text).toBe(PROMPT + plain.choices[0]!.text);
  });

  test('in a stream tells the same', async () => {
    const whole = await server.complete({ echo: true, logprobs: 1 });
    const told = (await server.stream({ echo: true, logprobs: 1 })).flatMap(({ choices }) => choices);
    expect(told.map(({ text }) => text).join('')).toBe(whole.choices[0]!.text);
    expect(told.flatMap(({ logprobs }) => logprobs?.token_logprobs ?? [])).toEqual(logprobsOf(whole).token_logprobs);
    expect(told.flatMap(({ logprobs }) => logprobs?.text_offset ?? [])).toEqual(logprobsOf(whole).text_offset);
  });

  test('and max_tokens 0 only scores: what comes later changes nothing', async () => {
    const scored = await server.complete({ echo: true, logprobs: 0, max_tokens: 0 });
    expect(scored.choices[0]).toMatchObject({ text: PROMPT, finish_reason: 'length' });
    expect(scored.usage).toMatchObject({ prompt_tokens: PROMPT.length, completion_tokens: 0 });
    const beginning = await server.complete({ prompt: PROMPT.slice(0, 11), echo: true, logprobs: 0, max_tokens: 0 });
    const [, ...later] = logprobsOf(beginning).token_logprobs;
    for (const [index, logprob] of later.entries()) expect(logprobsOf(scored).token_logprobs[index + 1]).toBeCloseTo(logprob!, 3);
    expect((await server.complete({ echo: true, max_tokens: 0 })).choices[0]!.text).toBe(PROMPT);
  });

  test('of bytes after the begin of a text scores their first too', async () => {
    const begun = await server.complete({ prompt: [SPECIAL.bod, ...bytesOf(PROMPT)], echo: true, logprobs: 1, max_tokens: 0 });
    const { tokens, token_logprobs, bytes, text_offset } = logprobsOf(begun);
    expect(begun.choices[0]!.text).toBe(PROMPT);
    expect([tokens[0], token_logprobs[0], bytes[0], text_offset[0]]).toEqual(['<|bod|>', null, null, 0]);
    expect(token_logprobs[1]).toBeLessThan(0);
    const plain = await server.complete({ prompt: PROMPT, echo: true, logprobs: 1, max_tokens: 0 });
    expect(token_logprobs.slice(2)).toEqual(logprobsOf(plain).token_logprobs.slice(1));
    expect(begun.usage.prompt_tokens).toBe(PROMPT.length + 1);
    expect(logprobsOf(await server.complete({ prompt: [SPECIAL.bod], echo: true, logprobs: 1, max_tokens: 0 })).tokens).toEqual(['<|bod|>']);
  });

  test('of several prompts scores each', async () => {
    const prompts = ['The river ', 'One day', 'x'];
    const together = await server.complete({ prompt: prompts, echo: true, logprobs: 0, max_tokens: 0 });
    for (const [index, prompt] of prompts.entries()) {
      expect(logprobsOf(together, index)).toEqual(logprobsOf(await server.complete({ prompt, echo: true, logprobs: 0, max_tokens: 0 })));
    }
  });

  test('of a prompt beyond the context scores all of it, and says that it was read in parts', async () => {
    const long = 'The river ran by the old city walls. '.repeat(40);
    const { choices, stlm } = await server.complete({ prompt: long, echo: true, logprobs: 0, max_tokens: 0 });
    expect(choices[0]!.text).toBe(long);
    expect(choices[0]!.logprobs!.token_logprobs).toHaveLength(long.length);
    expect(stlm.context_truncated).toBe(true);
  });

  test('gives the bits that `python -m stlm evaluate` gives a document, in windows too', async () => {
    for (const { text, bits } of python) {
      const { choices } = await server.complete({ prompt: [SPECIAL.bod, ...bytesOf(text)], echo: true, logprobs: 0, max_tokens: 0 });
      const sum = choices[0]!.logprobs!.token_logprobs.reduce<number>((total, logprob) => total + (logprob ?? 0), 0);
      // Kernels of other processors round every byte otherwise, here by 1e-6; windows of a quarter context were 12.6 bits off in the longest text.
      expect(Math.abs(-sum / Math.LN2 - bits)).toBeLessThan(0.05 * Math.sqrt(bytesOf(text).length));
    }
  });

  test('in a budget that is too small is refused: half of a score would pass for one', async () => {
    const prompt = 'The river ran by the old city walls. '.repeat(400);
    for (const stream of [false, true]) {
      const response = await server.ask({ prompt: [prompt, 'x'], echo: true, logprobs: 0, max_tokens: 0, latency_budget_ms: 15, stream });
      expect([422, 429]).toContain(response.status);
    }
  });

  test('is predicted: scoring takes longer than reading', async () => {
    const predicted = async (fields: object) => {
      const response = await server.post('/v1/route', { model: 'stlm-auto', prompt: 'ab cd '.repeat(60), max_tokens: 1, latency_budget_ms: 60_000, ...fields });
      return ((await response.json()) as { tiers: { prefill_ms: number }[] }).tiers[0]!.prefill_ms;
    };
    expect(await predicted({ echo: true, logprobs: 0 })).toBeGreaterThan(await predicted({}));
  });
});
