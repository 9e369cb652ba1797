/** What lm-eval's `local-completions` sends, and what it makes of the answer: its `_create_payload` and `parse_logprobs`, line by line. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Completion } from '../../functions/schema/completion.js';
import { type ServerProcess, startServer } from '../server-process.js';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

interface Scored {
  readonly logprob: number;
  readonly isGreedy: boolean;
}

const PREFIX_TOKEN = 256;
const encode = (text: string) => [...new TextEncoder().encode(text)];

/** Of context and continuation, each as tokens; a context of none is the prefix token. */
async function loglikelihoods(pairs: readonly (readonly [string, string])[]): Promise<Scored[]> {
  const contexts = pairs.map(([context]) => (context === '' ? [PREFIX_TOKEN] : encode(context)));
  const prompt = pairs.map(([, continuation], index) => [...contexts[index]!, ...encode(continuation)]);
  const body = { model: 'stlm-tiny@60s', prompt, temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
  const response = await fetch(`${server.url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json', authorization: 'Bearer ' }, body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  const { choices } = (await response.json()) as Completion;
  return choices
    .toSorted((a, b) => a.index - b.index)
    .map(({ logprobs }, index) => {
      const from = contexts[index]!.length;
      const tokenLogprobs = logprobs!.token_logprobs.slice(from, -1) as number[];
      expect(tokenLogprobs).toHaveLength(prompt[index]!.length - from);
      const tops = logprobs!.top_logprobs.slice(from, -1).map((top) => Object.values(top!));
      return { logprob: tokenLogprobs.reduce((sum, one) => sum + one, 0), isGreedy: tops.every((top, at) => tokenLogprobs[at] === Math.max(...top)) };
    });
}

describe('a log-likelihood', () => {
  test('of a text is that of its parts, one after the other', async () => {
    const [whole, first, second] = await loglikelihoods([
      ['', 'The river ran by the city.'],
      ['', 'The river ran'],
      ['The river ran', ' by the city.'],
    ]);
    expect(whole!.logprob).toBeLessThan(-10);
    // Quantised kernels round a row differently in runs of another size.
    expect(first!.logprob + second!.logprob).toBeCloseTo(whole!.logprob, 1);
  });

  test('tells greedy continuations from others', async () => {
    const response = await fetch(`${server.url}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: 'stlm-tiny@60s', prompt: 'The river ', max_tokens: 12, temperature: 0 }) });
    const { text } = ((await response.json()) as Completion).choices[0]!;
    const [greedy, other] = await loglikelihoods([['The river ', text], ['The river ', 'qzxj']]);
    expect([greedy!.isGreedy, other!.isGreedy]).toEqual([true, false]);
    expect(greedy!.logprob / text.length).toBeGreaterThan(other!.logprob / 4);
  });

  test('prefers English to the same letters in another order', async () => {
    const [english, noise] = await loglikelihoods([['', 'They went to the house of the king and said that it was late.'], ['', 'hTye tenw ot het ohuse fo eth gnik nad isad htat ti saw alte.']]);
    expect(english!.logprob).toBeGreaterThan(noise!.logprob + 20);
  });
});
