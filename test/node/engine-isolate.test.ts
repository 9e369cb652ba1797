/** The engine of an isolate, on Node: real sessions of the test model, and a clock as workerd has it, which stands still until the event loop turns. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { IsolateEngine, type IsolateParts } from '../../functions/engine/isolate.js';
import { bestRuntime, openSession } from '../../functions/engine/open-session.js';
import type { GenerateOptions, GenerateResult } from '../../functions/engine/types.js';
import { ArtifactCorruptError, ArtifactUnavailableError } from '../../functions/registry/errors.js';
import { greedy, TINY, textOf, tinyModel } from './engine-models.js';

const HERE = { tier: TINY, worker: 0 };
/** The test model would end its texts soon. */
const ENDLESS = { maxBytes: 400, logitBias: new Map([...Array(256).keys()].map((byte) => [byte, 40] as const)) };
const never = new AbortController().signal;

interface Setting extends Partial<IsolateParts> {
  /** What each run takes, on the clock. */
  readonly runMs?: number;
}

async function openEngine({ runMs = 5, ...parts }: Setting = {}) {
  const { manifest, file } = await tinyModel();
  let ranMs = 0;
  let shownMs = 0;
  const runs: number[] = [];
  const engine = new IsolateEngine({
    manifests: [manifest],
    tier: TINY,
    read: async () => new Uint8Array(),
    open: async (_, afterRun) => {
      const session = await openSession(file, { ...(await bestRuntime()), threads: 1 });
      return {
        inputNames: session.inputNames,
        tensor: session.tensor.bind(session),
        release: () => session.release(),
        run: async (feeds, outputs) => {
          const results = await session.run(feeds, outputs);
          ranMs += runMs;
          runs.push(ranMs);
          await afterRun();
          return results;
        },
      };
    },
    nowMs: () => shownMs,
    drawSeed: () => 1,
    pause: async (ms) => {
      await nextTurn();
      ranMs += ms;
      shownMs = ranMs;
    },
    hold: () => undefined,
    runtimeBytes: () => 1_000,
    ...parts,
  });
  return { engine, runs, now: () => ranMs };
}

async function write(engine: IsolateEngine, options: GenerateOptions, signal = never, onBytes: () => unknown = () => undefined): Promise<{ text: string; result: GenerateResult }> {
  const chunks: Uint8Array[] = [];
  const generation = engine.generate(HERE, options, signal);
  for (;;) {
    const step = await generation.next();
    if (step.done) return { text: textOf(chunks), result: step.value };
    chunks.push(step.value.bytes);
    await onBytes();
  }
}

describe('a text in an isolate', () => {
  test('ends before its deadline, though the clock stands still while it is computed', async () => {
    const { engine, now } = await openEngine();
    await engine.load(HERE);
    await write(engine, greedy('The city ', ENDLESS));
    const deadlineAtMs = now() + 100;
    const { result } = await write(engine, greedy('The city ', { ...ENDLESS, deadlineAtMs }));
    expect(result).toMatchObject({ stopCause: 'deadline' });
    expect(result.decodedPatches).toBeGreaterThan(10);
    expect(now()).toBeLessThanOrEqual(deadlineAtMs);
  });

  test('knows what its runs took', async () => {
    const { engine } = await openEngine({ runMs: 7 });
    await engine.load(HERE);
    const { result } = await write(engine, greedy('The city ', { maxBytes: 40 }));
    expect(result.timings.prefillMs).toBe(7);
    expect(result.timings.decodeMs).toBe(7 * (result.decodedPatches - 1));
  });

  test('is the same beside others, which take turns by their deadlines', async () => {
    const { engine, now } = await openEngine();
    await engine.load(HERE);
    const texts = [9_000, 4_000, 6_000].map((deadlineMs, index) => greedy(`${'word '.repeat(40 * index)}and`, { ...ENDLESS, maxBytes: 80, deadlineAtMs: now() + deadlineMs }));
    const alone = [];
    for (const text of texts) alone.push((await write(engine, { ...text, deadlineAtMs: Infinity })).text);
    const ended: number[] = [];
    const together = await Promise.all(texts.map((text, index) => write(engine, text).finally(() => ended.push(index))));
    expect(together.map(({ text }) => text)).toEqual(alone);
    expect(ended).toEqual([1, 2, 0]);
  });

  test('ends with its client, between two runs', async () => {
    const { engine, runs } = await openEngine();
    await engine.load(HERE);
    const client = new AbortController();
    let before = 0;
    const { result } = await write(engine, greedy('The city ', ENDLESS), client.signal, () => {
      before = runs.length;
      client.abort();
    });
    expect(result.stopCause).toBe('cancelled');
    expect(runs.length).toBeLessThanOrEqual(before + 1);
  });

  test('keeps nobody waiting whose reader is slow, or gone without a word', async () => {
    const { engine } = await openEngine();
    await engine.load(HERE);
    const left = engine.generate(HERE, greedy('The city ', { ...ENDLESS, deadlineAtMs: 1e6 }), never);
    await left.next();
    expect((await write(engine, greedy('The town ', { maxBytes: 40 }))).result.completionBytes).toBeGreaterThan(0);
    // Its request is dropped by the platform in the middle of a pause: nothing of it ever goes on.
    const pauses = { lost: false };
    const dropped = await openEngine({ pause: (ms) => (pauses.lost ? new Promise(() => undefined) : nextTurn(ms).then(() => undefined)), nowMs: () => performance.now() });
    await dropped.engine.load(HERE);
    const gone = dropped.engine.generate(HERE, greedy('The city ', { ...ENDLESS, deadlineAtMs: 1e6 }), never);
    await gone.next();
    pauses.lost = true;
    void gone.next();
    await nextTurn();
    pauses.lost = false;
    expect((await write(dropped.engine, greedy('The town ', { maxBytes: 40 }))).result.completionBytes).toBeGreaterThan(0);
  });

  test('reads what was read before only once', async () => {
    const { engine } = await openEngine();
    const prompt = greedy('word '.repeat(60), { maxBytes: 8, cacheSalt: 'anna' });
    const [first, again] = [await write(engine, prompt), await write(engine, prompt)];
    expect(first.result.cachedPatches).toBe(0);
    expect(engine.cachedPatches(TINY, prompt.prompt, 'anna')).toEqual([again.result.cachedPatches]);
    expect(again.result.cachedPatches).toBeGreaterThan(0);
    expect(engine.cachedPatches(TINY, prompt.prompt, 'bert')).toEqual([0]);
  });
});

describe('a load in an isolate', () => {
  test('is shared, and begun again when the request that began it is lost', async () => {
    let clockMs = 0;
    const reads: (() => void)[] = [];
    const { engine } = await openEngine({ nowMs: () => clockMs, read: () => new Promise((resolve) => reads.push(() => resolve(new Uint8Array()))) });
    void engine.load(HERE);
    void engine.load(HERE);
    expect([engine.state, reads.length]).toEqual(['loading', 1]);
    clockMs = 60_000;
    const again = engine.load(HERE);
    reads[1]!();
    await again;
    expect([engine.state, reads.length]).toEqual(['ready', 2]);
  });

  test('that takes too long ends a text at its deadline', async () => {
    const { engine } = await openEngine({ read: () => new Promise(() => undefined) });
    expect((await write(engine, greedy('The city ', { deadlineAtMs: 500 }))).result).toMatchObject({ stopCause: 'deadline', promptPatches: 0 });
  });

  test.each([
    ['no good', new ArtifactCorruptError('its sha256 is another'), 'quarantined'],
    ['not to be had just now', new ArtifactUnavailableError('the bucket does not answer'), 'cold'],
  ])('of an artifact that is %s says so, and is tried again', async (_, failure, state) => {
    let clockMs = 0;
    let isMended = false;
    const { engine } = await openEngine({ nowMs: () => clockMs, read: () => (isMended ? Promise.resolve(new Uint8Array()) : Promise.reject(failure)) });
    await expect(engine.load(HERE)).rejects.toThrow(failure.message);
    expect(engine.status()).toMatchObject([{ id: TINY, state, reason: failure.message, workers: [] }]);
    isMended = true;
    clockMs = 120_000;
    await engine.load(HERE);
    expect(engine.status()).toMatchObject([{ state: 'ready', workers: [0] }]);
  });

  test('is of one tier only', async () => {
    const { engine } = await openEngine();
    expect([engine.hasRoom('stlm-50m'), engine.isWarm({ tier: 'stlm-50m', worker: 0 })]).toEqual([false, false]);
    await expect(engine.load({ tier: 'stlm-50m', worker: 0 })).rejects.toThrow('does not run at the edge');
  });
});
