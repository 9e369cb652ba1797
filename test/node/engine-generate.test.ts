import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { GenerationOutcome } from '../../functions/engine/generate.js';
import { Pace } from '../../functions/engine/pace.js';
import { SPECIAL } from '../../functions/engine/patch.js';
import type { GenerateOptions } from '../../functions/engine/types.js';
import { RecurrentSession } from './engine-recurrent-session.js';
import { Solo } from './engine-solo.js';

/** A character a byte, so that any bytes can be compared and cut as text. */
const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'));
const text = (chunks: readonly Uint8Array[]) => Buffer.concat(chunks).toString('latin1');

interface Run {
  readonly text: string;
  readonly chunks: string[];
  readonly outcome: GenerationOutcome;
  readonly session: RecurrentSession;
}

const greedy = { maxBytes: 80, temperature: 0, topP: 1, topK: 0, seed: 1, stop: [], logitBias: new Map(), cacheSalt: '', deadlineAtMs: Infinity };

function begin(options: Partial<GenerateOptions>, session = new RecurrentSession(), nowMs = () => 0, stepMs = 0): Solo {
  const pace = new Pace({ prefillPatchMs: stepMs, decodePatchMs: stepMs });
  const all = { ...greedy, prompt: bytes('the '), ...options };
  return new Solo({ session, shape: RecurrentSession.shape, pace, nowMs }, { ...all, seed: all.seed ?? 1 });
}

async function finish(generation: Solo, session: RecurrentSession): Promise<Run> {
  const chunks: Uint8Array[] = [];
  while (generation.outcome === undefined) chunks.push(await generation.step());
  return { text: text(chunks), chunks: chunks.map((chunk) => text([chunk])), outcome: generation.outcome, session };
}

async function generate(options: Partial<GenerateOptions> = {}): Promise<Run> {
  const session = new RecurrentSession();
  return finish(begin(options, session), session);
}

describe('a generation', () => {
  test('continues a prompt cut at any byte as it continues the whole', async () => {
    const whole = await generate({ prompt: bytes('Once upon a time, '), maxBytes: 60 });
    for (let cut = 0; cut < 60; cut += 1) {
      const prompt = bytes('Once upon a time, ' + whole.text.slice(0, cut));
      const rest = await generate({ prompt, maxBytes: 60 - cut });
      expect(rest.text).toBe(whole.text.slice(cut));
    }
  });

  test('reads a long prompt in chunks of at most 64 patches, and only the last decodes', async () => {
    const { session } = await generate({ prompt: bytes('ab '.repeat(60)), maxBytes: 1 });
    expect(session.runs).toEqual([{ patches: 61, past: 0, decodes: true, texts: 1 }]);
    const shape = { ...RecurrentSession.shape, contextPatches: 400 };
    const long = new RecurrentSession();
    const pace = new Pace({ prefillPatchMs: 0, decodePatchMs: 0 });
    await finish(new Solo({ session: long, shape, pace, nowMs: () => 0 }, { ...greedy, prompt: bytes('ab '.repeat(150)), maxBytes: 1 }), long);
    expect(long.runs).toEqual([
      { patches: 64, past: 0, decodes: false, texts: 1 },
      { patches: 64, past: 64, decodes: false, texts: 1 },
      { patches: 23, past: 128, decodes: true, texts: 1 },
    ]);
  });

  test('does not depend on how prefill was cut into runs', async () => {
    const prompt = 'ab cd ef '.repeat(40);
    const shape = { ...RecurrentSession.shape, contextPatches: 400 };
    const run = async (promptText: string, maxBytes: number) => {
      const session = new RecurrentSession();
      const pace = new Pace({ prefillPatchMs: 0, decodePatchMs: 0 });
      return finish(new Solo({ session, shape, pace, nowMs: () => 0 }, { ...greedy, prompt: bytes(promptText), maxBytes }), session);
    };
    const start = await run(prompt, 700);
    expect(start.session.runs.length).toBeGreaterThan(10);
    const again = await run(prompt + start.text.slice(0, 600), 100);
    expect(again.text).toBe(start.text.slice(600));
  });

  test('interleaved with others gives what it gives alone', async () => {
    const prompts = ['one ', 'two words', 'the third: '];
    const alone = await Promise.all(prompts.map((prompt) => generate({ prompt: bytes(prompt), temperature: 0.8, seed: 5 })));
    const session = new RecurrentSession();
    const together = prompts.map((prompt) => ({ generation: begin({ prompt: bytes(prompt), temperature: 0.8, seed: 5 }, session), chunks: [] as Uint8Array[] }));
    while (together.some(({ generation }) => generation.outcome === undefined)) {
      for (const { generation, chunks } of together) chunks.push(await generation.step());
    }
    expect(together.map(({ chunks }) => text(chunks))).toEqual(alone.map((run) => run.text));
  });

  test('repeats itself for the same seed, and not for another', async () => {
    const first = await generate({ temperature: 1, seed: 11 });
    const again = await generate({ temperature: 1, seed: 11 });
    const other = await generate({ temperature: 1, seed: 12 });
    expect(again.text).toBe(first.text);
    expect(other.text).not.toBe(first.text);
  });

  test('never passes maxBytes, and needs no run for none', async () => {
    for (const maxBytes of [0, 1, 2, 7, 30]) {
      const { text: got, outcome } = await generate({ maxBytes });
      expect(got.length).toBe(maxBytes);
      expect(outcome).toMatchObject({ stopCause: 'length', completionBytes: maxBytes });
    }
    expect((await generate({ maxBytes: 0 })).session.runs).toEqual([]);
  });

  test('ends at the end of the document, which is no text', async () => {
    const session = new RecurrentSession();
    session.endLogit = 6;
    const run = await finish(begin({ temperature: 1, seed: 2, maxBytes: 400 }, session), session);
    expect(run.outcome).toMatchObject({ stopCause: 'eod', completionBytes: run.text.length });
    const ids = session.decoded;
    expect(bytes(run.text)).toEqual(Uint8Array.from(ids.slice(0, -1)));
    expect([SPECIAL.eod, SPECIAL.end_of_turn]).toContain(ids.at(-1));
  });

  test('cuts at a stop string wherever patches end, and never shows a part of it', async () => {
    const whole = (await generate({ maxBytes: 70 })).text;
    await fc.assert(
      fc.asyncProperty(fc.nat(60), fc.integer({ min: 1, max: 9 }), async (from, length) => {
        const stop = whole.slice(from, from + length);
        const { text: got, outcome } = await generate({ maxBytes: 70, stop: [bytes(stop)] });
        expect(got).toBe(whole.slice(0, whole.indexOf(stop)));
        expect(outcome).toMatchObject({ stopCause: 'stop', completionBytes: got.length });
      }),
      { numRuns: 100 },
    );
  });

  test('shows the beginning of a stop string that never came', async () => {
    const whole = (await generate({ maxBytes: 20 })).text;
    const { text: got, outcome } = await generate({ maxBytes: 20, stop: [bytes(whole.slice(-3) + '\u0000')] });
    expect(got).toBe(whole);
    expect(outcome.stopCause).toBe('length');
  });

  test('obeys a logit bias', async () => {
    const { text: got } = await generate({ logitBias: new Map([['z'.charCodeAt(0), 100]]), maxBytes: 20 });
    expect(got).toBe('z'.repeat(20));
  });

  test('forgets the older half when the context is full, and goes on', async () => {
    const { outcome, session } = await generate({ maxBytes: 900 });
    expect(outcome).toMatchObject({ contextTruncated: true, stopCause: 'length' });
    for (const { past, patches } of session.runs) expect(past + patches).toBeLessThanOrEqual(64);
    const slid = session.runs.find(({ past }, index) => index > 0 && past === 0);
    expect(slid).toEqual({ patches: 32, past: 0, decodes: true, texts: 1 });
  });

  test('after forgetting goes on as a fresh reading of the whole text does', async () => {
    const long = await generate({ maxBytes: 600 });
    const slide = long.session.runs.findIndex(({ past }, index) => index > 0 && past === 0);
    const before = long.chunks.slice(0, slide).join('');
    const fresh = await generate({ prompt: bytes(`the ${before}`), maxBytes: 100 });
    expect(fresh.session.runs[0]).toEqual(long.session.runs[slide]);
    expect(fresh.text).toBe(long.text.slice(before.length, before.length + 100));
  });

  test('that must not forget ends where the context does, after the same text', async () => {
    const long = await generate({ maxBytes: 600 });
    const slide = long.session.runs.findIndex(({ past }, index) => index > 0 && past === 0);
    const { outcome, text: got, session } = await generate({ maxBytes: 600, endsWithContext: true });
    expect(outcome).toMatchObject({ stopCause: 'context', contextTruncated: false, completionBytes: got.length });
    expect(got).toBe(long.chunks.slice(0, slide).join(''));
    expect(session.runs).toEqual(long.session.runs.slice(0, slide));
  });

  test.each([63, 64, 65])('that must not forget still writes a patch after a prompt of %d patches', async (patches) => {
    const { outcome, text: got } = await generate({ prompt: bytes('ab '.repeat(patches - 1)), maxBytes: 600, endsWithContext: true });
    expect(outcome.decodedPatches).toBe(patches <= 64 ? 65 - patches : 33);
    expect(got).not.toBe('');
  });

  test('of a prompt longer than the context knows the newer half only', async () => {
    const prompt = 'ab cd '.repeat(40);
    const long = await generate({ prompt: bytes('zz xx ' + prompt), maxBytes: 30 });
    const other = await generate({ prompt: bytes('yy qq ' + prompt), maxBytes: 30 });
    expect(long.outcome.contextTruncated).toBe(true);
    expect(long.text).toBe(other.text);
    expect(long.session.runs[0]).toEqual({ patches: 32, past: 0, decodes: true, texts: 1 });
  });

  test.each([[63], [64], [65], [200]])('of a prompt of %d patches says how many of them it read', async (patches) => {
    const { outcome, session } = await generate({ prompt: bytes('ab '.repeat(patches - 1)), maxBytes: 1 });
    expect(outcome.promptPatches).toBe(session.runs.reduce((read, run) => read + run.patches, 0));
    expect(outcome.promptPatches).toBe(patches <= 64 ? patches : 32);
  });

  test('stops at a patch end when the next patch would pass the deadline', async () => {
    const session = new RecurrentSession();
    let clock = 1000;
    session.onRun = () => { clock += 10; };
    const whole = await generate({ maxBytes: 400 });
    const run = await finish(begin({ maxBytes: 400, deadlineAtMs: 1075 }, session, () => clock, 10), session);
    expect(run.outcome.stopCause).toBe('deadline');
    expect(clock).toBeLessThanOrEqual(1075);
    expect(session.runs.length).toBeGreaterThanOrEqual(4);
    expect(whole.text.startsWith(run.text)).toBe(true);
    expect(run.text).toMatch(/[^a-z]$/);
    expect(run.outcome.completionBytes).toBe(run.text.length);
  });

  test('drops the part of a word that the deadline leaves no run to finish', async () => {
    // Mostly one letter: words so long that the cap cuts many patches inside one.
    const options = { maxBytes: 400, logitBias: new Map([['q'.charCodeAt(0), 5]]) };
    const whole = await generate(options);
    let cutWords = 0;
    for (let runs = 1; runs <= 30; runs += 1) {
      const session = new RecurrentSession();
      let clock = 0;
      session.onRun = () => { if (session.runs.length === runs) clock = 100; };
      const run = await finish(begin({ ...options, deadlineAtMs: 50 }, session, () => clock), session);
      const patches = whole.chunks.slice(0, runs);
      const last = patches.pop()!;
      const wholeWords = /[^]*[^a-z]/.exec(last)?.[0] ?? last;
      if (wholeWords !== last) cutWords += 1;
      expect(run.text).toBe(patches.join('') + wholeWords);
      expect(run.outcome).toMatchObject({ stopCause: 'deadline', completionBytes: run.text.length });
    }
    expect(cutWords).toBeGreaterThan(0);
  });

  test('runs nothing when even the first run would be too late', async () => {
    const session = new RecurrentSession();
    const run = await finish(begin({ deadlineAtMs: 5 }, session, () => 0, 10), session);
    expect(run.outcome).toMatchObject({ stopCause: 'deadline', completionBytes: 0 });
    expect(session.runs).toEqual([]);
  });

  test('cancelled within a run shows nothing of it and runs no more', async () => {
    const session = new RecurrentSession();
    const generation = begin({ maxBytes: 400 }, session);
    await generation.step();
    session.onRun = () => generation.cancel();
    expect(await generation.step()).toEqual(new Uint8Array());
    expect(generation.outcome?.stopCause).toBe('cancelled');
    const runs = session.runs.length;
    await generation.step();
    expect(session.runs.length).toBe(runs);
  });
});
