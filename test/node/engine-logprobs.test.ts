import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { GenerationOutcome } from '../../functions/engine/generate.js';
import type { Logprobs } from '../../functions/engine/logprobs.js';
import { Pace } from '../../functions/engine/pace.js';
import { SPECIAL } from '../../functions/engine/patch.js';
import { prefixCache } from '../../functions/engine/prefix-cache.js';
import { patchesToScore } from '../../functions/engine/prompt-score.js';
import type { GenerateOptions, Piece } from '../../functions/engine/types.js';
import { compileGrammar } from '../../functions/grammar/grammars.js';
import { bytesOf, greedy, textOf } from './engine-models.js';
import { RecurrentSession } from './engine-recurrent-session.js';
import { Solo } from './engine-solo.js';

interface Told {
  readonly text: string;
  readonly prompt: string;
  /** Of the text, and of the prompt. */
  readonly logprobs: Logprobs;
  readonly promptLogprobs: Logprobs;
  readonly outcome: GenerationOutcome;
  readonly session: RecurrentSession;
}

const SHAPE = { ...RecurrentSession.shape, contextPatches: 64, chunkPatches: 8 };

async function tell(prompt: string, options: Partial<GenerateOptions>, { session = new RecurrentSession(), shape = SHAPE, prefixes = prefixCache(0), nowMs = () => 0, stepMs = 0 } = {}): Promise<Told> {
  const pace = new Pace({ prefillPatchMs: stepMs, decodePatchMs: stepMs });
  const solo = new Solo({ session, shape, prefixes, pace, nowMs }, greedy(prompt, options));
  const pieces: Piece[] = [];
  while (solo.outcome === undefined) pieces.push(...(await solo.stepPieces()));
  const own = pieces.filter(({ ofPrompt }) => ofPrompt === undefined);
  const before = pieces.filter(({ ofPrompt }) => ofPrompt === true);
  return {
    text: textOf(own.map(({ bytes }) => bytes)),
    prompt: textOf(before.map(({ bytes }) => bytes)),
    logprobs: joined(own),
    promptLogprobs: joined(before),
    outcome: solo.outcome,
    session,
  };
}

function joined(pieces: readonly Piece[]): Logprobs {
  const all = pieces.flatMap(({ logprobs }) => logprobs ?? []);
  return {
    ids: Uint16Array.from(all.flatMap(({ ids }) => Array.from(ids))),
    chosen: Float32Array.from(all.flatMap(({ chosen }) => Array.from(chosen))),
    topIds: Uint16Array.from(all.flatMap(({ topIds }) => Array.from(topIds))),
    topLogprobs: Float32Array.from(all.flatMap(({ topLogprobs }) => Array.from(topLogprobs))),
  };
}

const score = (prompt: string, options: Partial<GenerateOptions> = {}, parts = {}) => tell(prompt, { maxBytes: 0, logprobs: 0, scoresPrompt: true, ...options }, parts);

describe('the log-probabilities of a text', () => {
  test('are those of its bytes, each once and in order, and the same when the text is scored as a prompt', async () => {
    const prompt = 'Once upon a time, th';
    const written = await tell(prompt, { maxBytes: 60, temperature: 0.9, logprobs: 3 });
    expect(textOf([Uint8Array.from(written.logprobs.ids)])).toBe(written.text);
    const scored = await score(prompt + written.text, { logprobs: 3 });
    expect(scored.promptLogprobs.chosen.slice(prompt.length)).toEqual(written.logprobs.chosen);
    expect(scored.promptLogprobs.topIds.slice(3 * prompt.length)).toEqual(written.logprobs.topIds);
  });

  test('are the same whatever filters, penalties and biases chose the bytes', async () => {
    const biased = await tell('the ', { maxBytes: 40, logprobs: 0, logitBias: new Map([['q'.charCodeAt(0), 6]]) });
    expect(biased.text).toContain('q');
    expect((await score(`the ${biased.text}`)).promptLogprobs.chosen.slice(4)).toEqual(biased.logprobs.chosen);
  });

  test('in a form stay those of the model, though patches are decoded more than once', async () => {
    const grammar = compileGrammar({ kind: 'regex', regex: '[a-c]{3} (yes|no) [0-9]{2,4}!' });
    const formed = await tell('the ', { maxBytes: 40, logprobs: 0, grammar });
    expect(formed.text).toMatch(/^[a-c]{3} (yes|no) [0-9]{2,4}!$/);
    expect(textOf([Uint8Array.from(formed.logprobs.ids)])).toBe(formed.text);
    expect((await score(`the ${formed.text}`)).promptLogprobs.chosen.slice(4)).toEqual(formed.logprobs.chosen);
  });

  test('leave out a stop string, wherever it was held back', async () => {
    const whole = await tell('the ', { maxBytes: 60, logprobs: 1 });
    for (let from = 5; from < 50; from += 3) {
      const stop = whole.text.slice(from, from + 4);
      const cut = await tell('the ', { maxBytes: 60, logprobs: 1, stop: [bytesOf(stop)] });
      expect(cut.outcome.stopCause).toBe('stop');
      expect(textOf([Uint8Array.from(cut.logprobs.ids)])).toBe(cut.text);
      expect(cut.logprobs.chosen).toEqual(whole.logprobs.chosen.slice(0, cut.text.length));
    }
  });

  test('tell the mark that ends a text too, after its bytes', async () => {
    const session = new RecurrentSession();
    session.endLogit = 6;
    const { text, logprobs, outcome } = await tell('the ', { temperature: 1, seed: 2, maxBytes: 400, logprobs: 0 }, { session });
    expect(outcome.stopCause).toBe('eod');
    expect([SPECIAL.eod, SPECIAL.end_of_turn]).toContain(logprobs.ids.at(-1));
    expect(textOf([Uint8Array.from(logprobs.ids.slice(0, -1))])).toBe(text);
    expect(outcome.meanLogprob).toBeCloseTo(logprobs.chosen.reduce((sum, one) => sum + one, 0) / (text.length + 1));
  });

  test('put the likeliest first, the chosen byte at its rank', async () => {
    const { logprobs } = await tell('the ', { maxBytes: 30, logprobs: 20 });
    for (let at = 0; at < logprobs.ids.length; at += 1) {
      const top = logprobs.topLogprobs.slice(at * 20, (at + 1) * 20);
      const ids = logprobs.topIds.slice(at * 20, (at + 1) * 20);
      expect(top).toEqual(top.toSorted((a, b) => b - a));
      expect(new Set(ids).size).toBe(20);
      // Greedy, and only bytes and two marks may come: the others are what is likelier.
      const rank = ids.indexOf(logprobs.ids[at]!);
      expect(top[rank]).toBe(logprobs.chosen[at]);
      expect(ids.slice(0, rank).every((id) => id >= 256)).toBe(true);
    }
  });

  test('are fetched only where they are asked for, and no more of them than that', async () => {
    const fetched = async (options: Partial<GenerateOptions>) => new Set((await tell('the ', { maxBytes: 30, ...options })).session.outputs.flat());
    expect(await fetched({})).toEqual(new Set(['newkv', 'toks']));
    expect(await fetched({ logprobs: 0 })).toEqual(new Set(['newkv', 'toks', 'lp']));
    expect(await fetched({ logprobs: 1 })).toEqual(new Set(['newkv', 'toks', 'logprobs']));
  });
});

describe('a prompt that is scored', () => {
  test('has a log-probability for each of its bytes, wherever it is cut into runs', async () => {
    const text = 'Some words, then (more) of them: 12 in all and a long-one ';
    const whole = await score(text.repeat(4), {}, { shape: { ...SHAPE, contextPatches: 400, chunkPatches: 64 } });
    expect(whole.prompt).toBe(text.repeat(4));
    const chunked = await score(text.repeat(4), {}, { shape: { ...SHAPE, contextPatches: 400 } });
    expect(chunked.promptLogprobs).toEqual(whole.promptLogprobs);
    expect(chunked.outcome).toMatchObject({ stopCause: 'length', completionBytes: 0, decodedPatches: 0 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 200 }), async (cut) => {
        const begun = await score(text.repeat(4).slice(0, cut), {}, { shape: { ...SHAPE, contextPatches: 400 } });
        expect(begun.promptLogprobs.chosen).toEqual(whole.promptLogprobs.chosen.slice(0, cut));
        expect(begun.outcome.stopCause).toBe('length');
      }),
      { numRuns: 60 },
    );
  });

  test('goes on with the text it goes on with otherwise, in the run that scores its end', async () => {
    for (const prompt of ['', 'a', 'the ', 'the en', 'ab cd '.repeat(20), `${'ab cd '.repeat(20)}e`]) {
      const plain = await tell(prompt, { maxBytes: 30, logprobs: 0 });
      const scored = await score(prompt, { maxBytes: 30 });
      expect(scored.text).toBe(plain.text);
      expect(scored.logprobs).toEqual(plain.logprobs);
      expect(scored.prompt).toBe(prompt);
      expect(scored.session.runs).toEqual(plain.session.runs);
    }
  });

  test('is scored once, though a form has what follows decoded anew', async () => {
    const grammar = compileGrammar({ kind: 'regex', regex: '(?:ab|cd|ef|gh|ij|kl|mn|op|qr|st|uv|wx){2,9} (?:[a-m][n-z]|[n-z][0-9]){4,9}!' });
    const { prompt, text, session } = await score('Once upon a ti', { maxBytes: 60, grammar });
    expect(session.runs.filter(({ past }) => past === session.runs[0]!.patches - 1).length).toBeGreaterThan(0);
    expect(prompt).toBe('Once upon a ti');
    expect(text).toMatch(/^(?:[a-x]{2}){2,9} \S+!$/);
  });

  test('longer than the context is read in windows of half a context, each byte scored once', async () => {
    const prompt = 'ab cd '.repeat(70);
    const { prompt: told, outcome, session } = await score(prompt);
    expect(told).toBe(prompt);
    expect(outcome).toMatchObject({ contextTruncated: true, scoredPatches: 140, promptPatches: 140 });
    const starts = session.runs.flatMap(({ past }, run) => (past === 0 ? [run] : []));
    const windows = starts.map((start, index) => session.runs.slice(start, starts[index + 1]).reduce((sum, { patches }) => sum + patches, 0));
    expect(windows).toEqual([64, 64, 64, 44]);
    expect(patchesToScore(140, 64)).toBe(64 + 64 + 64 + 44);
  });

  test.each([1, 63, 64, 65, 96, 97, 128, 129, 200])('of %d patches reads as many as are foretold', async (patches) => {
    const { session } = await score(`${'ab '.repeat(patches - 1)}c`);
    expect(session.runs.reduce((sum, run) => sum + run.patches, 0)).toBe(patchesToScore(patches, 64));
  });

  test('leaves what it has read to others, and itself is read again', async () => {
    const prefixes = prefixCache(1e6);
    const prompt = 'ab cd '.repeat(20);
    const first = await score(prompt, { maxBytes: 30 }, { prefixes });
    const again = await score(prompt, { maxBytes: 30 }, { prefixes });
    expect(again.promptLogprobs).toEqual(first.promptLogprobs);
    expect(again.outcome.cachedPatches).toBe(0);
    const plain = await tell(prompt, { maxBytes: 30 }, { prefixes });
    expect(plain.outcome.cachedPatches).toBe(40);
    expect(plain.text).toBe(first.text);
  });

  test('is left between two chunks when the rest would pass the deadline', async () => {
    const session = new RecurrentSession();
    let clock = 0;
    session.onRun = () => { clock += 10; };
    const { outcome } = await score('ab cd '.repeat(30), { deadlineAtMs: 45 }, { session, nowMs: () => clock });
    expect(outcome.stopCause).toBe('deadline');
    expect(session.runs.length).toBeLessThanOrEqual(5);
  });

  test('is not begun when all of it would be too late', async () => {
    const { outcome, session } = await score('ab cd '.repeat(30), { deadlineAtMs: 30 }, { stepMs: 1 });
    expect(outcome.stopCause).toBe('deadline');
    expect(session.runs).toEqual([]);
  });
});

describe('a bound on words', () => {
  test.each([
    [1, 'Once', 'Once'],
    [2, 'Once, upon a', 'Once, upon'],
    [3, "It isn't 3 or", "It isn't 3"],
    [2, ' -- caf\u00e9s au lait', ' -- caf\u00e9s au'],
  ])('of %d ends %j at the end of the last', async (maxWords, wanted, expected) => {
    const grammar = compileGrammar({ kind: 'regex', regex: `${wanted} [a-z ]{40}` });
    const { text, outcome } = await tell('', { maxBytes: 100, maxWords, grammar });
    expect(Buffer.from(text, 'latin1').toString('utf8')).toBe(expected);
    expect(outcome.stopCause).toBe('length');
  });

  test('counts one that the prompt began, and needs no run more than the text', async () => {
    const grammar = compileGrammar({ kind: 'regex', regex: 'ld it is[a-z ]{40}' });
    const { text, session } = await tell('the wor', { maxBytes: 200, maxWords: 2, grammar });
    expect(text).toBe('ld it');
    const whole = await tell('the wor', { maxBytes: text.length + 1, grammar: compileGrammar({ kind: 'regex', regex: 'ld it ' }) });
    expect(session.runs.length).toBe(whole.session.runs.length);
  });

  test('goes beside one on bytes: whichever comes first', async () => {
    expect((await tell('the ', { maxBytes: 3, maxWords: 50 })).text).toHaveLength(3);
  });
});
