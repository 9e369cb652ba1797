import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Generation } from '../../functions/engine/generate.js';
import { Pace } from '../../functions/engine/pace.js';
import { prefixCache } from '../../functions/engine/prefix-cache.js';
import { Runner } from '../../functions/engine/runner.js';
import type { GenerateOptions } from '../../functions/engine/types.js';
import { bytesOf, greedy, textOf } from './engine-models.js';
import { RecurrentSession } from './engine-recurrent-session.js';

class Together {
  readonly session = new RecurrentSession();
  nowMs = 0;
  readonly #parts = {
    session: this.session,
    shape: { ...RecurrentSession.shape, contextPatches: 150, chunkPatches: 8 },
    pace: new Pace({ prefillPatchMs: 0, decodePatchMs: 0 }),
    prefixes: prefixCache(1e6),
    nowMs: () => this.nowMs,
  };
  readonly runner = new Runner({ ...this.#parts, trunk: this.#parts.shape.trunk });

  begin(options: GenerateOptions & { seed: number }): Text {
    return new Text(new Generation(this.#parts, options));
  }

  /** One run: for the first that has to read, or for all of them. */
  async run(texts: readonly Text[]): Promise<void> {
    const going = texts.filter(({ generation }) => generation.outcome === undefined);
    const reading = going.find(({ generation }) => !generation.ready);
    const chosen = reading === undefined ? going : [reading];
    await this.runner.run(chosen.map(({ generation }) => generation));
    for (const text of chosen) text.collect();
    for (const { generation } of chosen) if (generation.outcome !== undefined) this.runner.forget(generation);
  }

  async finish(texts: readonly Text[]): Promise<void> {
    while (texts.some(({ generation }) => generation.outcome === undefined)) await this.run(texts);
  }
}

class Text {
  readonly #chunks: Uint8Array[] = [];

  constructor(readonly generation: Generation) {}

  collect(): void {
    this.#chunks.push(...this.generation.takePieces().map(({ bytes }) => bytes));
  }

  get text(): string {
    return textOf(this.#chunks);
  }
}

async function alone(options: GenerateOptions & { seed: number }): Promise<Text> {
  const together = new Together();
  const text = together.begin(options);
  await together.finish([text]);
  return text;
}

const endless = new Map(Array.from({ length: 256 }, (_, byte) => [byte, 40]));

/** Of different beginnings, lengths, ways to sample and ways to end. */
const TEXTS = [
  greedy('one ', { maxBytes: 90 }),
  greedy('two words and more ', { maxBytes: 900 }),
  greedy('ab cd '.repeat(60), { maxBytes: 300 }),
  greedy('sampled ', { temperature: 0.9, seed: 5, maxBytes: 250 }),
  greedy('filtered, un', { temperature: 0.9, topK: 3, topP: 0.8, seed: 6, maxBytes: 250 }),
  greedy('x', { logitBias: new Map([['z'.charCodeAt(0), 3]]), maxBytes: 60 }),
  greedy('', { maxBytes: 1 }),
  greedy('', { stop: [bytesOf('a')], maxBytes: 200 }),
];

describe('texts that share runs', () => {
  test('are each what they are alone, whoever joins and leaves', async () => {
    const expected = await Promise.all(TEXTS.map(alone));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(TEXTS.length - 1), fc.nat(12)), { minLength: 2, maxLength: 12 }), fc.infiniteStream(fc.nat()), async (arrivals, picks) => {
        const together = new Together();
        const texts: { index: number; text: Text }[] = [];
        for (const [index, runsBefore] of arrivals) {
          // Some runs leave out some of the texts, as deadlines make them.
          for (let run = 0; run < runsBefore; run += 1) {
            const omitted = picks.next().value as number;
            await together.run(texts.filter((_, at) => at !== omitted % (2 * texts.length)).map(({ text }) => text));
          }
          texts.push({ index, text: together.begin(TEXTS[index]!) });
        }
        await together.finish(texts.map(({ text }) => text));
        expect(texts.map(({ text }) => text.text)).toEqual(texts.map(({ index }) => expected[index]!.text));
        const outcomes = texts.map(({ text }) => ({ ...text.generation.outcome, cachedPatches: 0, cachedBytes: 0, meanBatch: 1 }));
        expect(outcomes).toEqual(texts.map(({ index }) => expected[index]!.generation.outcome));
      }),
      { numRuns: 60 },
    );
  });

  test('decode in the same run', async () => {
    const together = new Together();
    const texts = [1, 2, 3, 4].map((seed) => together.begin(greedy('ab ', { temperature: 1, seed, maxBytes: 100, logitBias: endless })));
    await together.finish(texts);
    expect(Math.max(...together.session.runs.map(({ texts }) => texts))).toBe(4);
    for (const { generation } of texts) expect(generation.outcome!.meanBatch).toBeGreaterThan(2);
  });

  test('go on when one of them is cancelled, within a run too', async () => {
    const options = [1, 2, 3].map((seed) => greedy('ab ', { temperature: 1, seed, maxBytes: 200 }));
    const expected = await Promise.all(options.map(alone));
    const together = new Together();
    const texts = options.map((each) => together.begin(each));
    for (let run = 0; run < 8; run += 1) await together.run(texts);
    const before = texts[1]!.text;
    together.session.onRun = () => texts[1]!.generation.cancel();
    await together.finish(texts);
    expect(texts[1]!.generation.outcome).toMatchObject({ stopCause: 'cancelled', completionBytes: before.length });
    expect(texts[1]!.text).toBe(before);
    for (const index of [0, 2]) expect(texts[index]!.text).toBe(expected[index]!.text);
  });

  test('go on when a run fails for one of them', async () => {
    const options = [1, 2, 3].map((seed) => greedy('ab ', { seed, maxBytes: 100, logitBias: endless }));
    const expected = await Promise.all(options.map(alone));
    const together = new Together();
    const texts = options.map((each) => together.begin(each));
    for (const _ of texts) await together.run(texts);
    const [, poisoned] = texts.map(({ generation }) => generation);
    const broken = new Error('no such row');
    let runs = 0;
    together.session.onRun = () => {
      runs += 1;
      // The run of all three, and then that of the second alone.
      if (runs === 1 || runs === 3) throw broken;
    };
    expect(await together.runner.runApart(texts.map(({ generation }) => generation))).toEqual(new Map([[poisoned, broken]]));
    for (const text of texts) text.collect();
    const others = [texts[0]!, texts[2]!];
    await together.finish(others);
    expect(others.map(({ text }) => text)).toEqual([expected[0]!.text, expected[2]!.text]);
  });

  test('go on when the deadline of one of them comes', async () => {
    const together = new Together();
    const options = greedy('ab ', { maxBytes: 200 });
    const [patient, hasty] = [together.begin(options), together.begin({ ...options, deadlineAtMs: 50 })];
    together.session.onRun = () => { together.nowMs += 5; };
    await together.finish([patient, hasty]);
    const whole = (await alone(options)).text;
    expect(patient.text).toBe(whole);
    expect(hasty.generation.outcome!.stopCause).toBe('deadline');
    expect(hasty.text.length).toBeGreaterThan(0);
    expect(whole.startsWith(hasty.text)).toBe(true);
  });

  test('leave no memory behind, 10,000 of them', async () => {
    setFlagsFromString('--expose_gc');
    const collect = runInNewContext('gc') as () => void;
    const used = () => {
      collect();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return heapUsed + arrayBuffers;
    };
    const together = new Together();
    const wave = async (count: number) => {
      for (let begun = 0; begun < count; begun += 10) {
        await together.finish(Array.from({ length: 10 }, (_, index) => together.begin(greedy(`${begun + index} `, { maxBytes: 5, cacheSalt: `${begun + index}` }))));
        together.session.runs.length = 0;
        together.session.outputs.length = 0;
        together.session.decoded.length = 0;
      }
    };
    await wave(1_000);
    await sleep(100);
    const before = used();
    await wave(10_000);
    // A text's cache alone is 4 kB here.
    // Buffers that nobody holds are freed by another thread, a little later.
    await expect.poll(() => used() - before, { timeout: 5_000 }).toBeLessThan(2e6);
  }, 60_000);
});
