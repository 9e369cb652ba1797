import { readdir } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, describe, expect, test } from 'vitest';
import type { ModelSession, OnnxRuntime } from '../../functions/engine/onnx-runtime.js';
import { bestRuntime, openSession } from '../../functions/engine/open-session.js';
import { loadOrtApi } from '../../functions/engine/ort-c-api.js';
import { nativeRuntime } from '../../functions/engine/ort-native.js';
import { nodeRuntime } from '../../functions/engine/ort-node.js';
import { Pace } from '../../functions/engine/pace.js';
import { INPUT_NAMES } from '../../functions/engine/run-inputs.js';
import type { Feeds, Session, Tensor } from '../../functions/engine/session.js';
import type { GenerateOptions } from '../../functions/engine/types.js';
import { greedy, textOf, tinyModel } from './engine-models.js';
import { Solo } from './engine-solo.js';

const model = await tinyModel();
const native = nativeRuntime(await loadOrtApi());
const sampled = (seed: number) => greedy('The river ran by the old city walls. '.repeat(6), { temperature: 1, topP: 0.95, maxBytes: 120, seed });

const opened: ModelSession[] = [];
afterAll(() => Promise.all(opened.map((session) => session.release())));

async function open(runtime: OnnxRuntime, threads = 1): Promise<ModelSession> {
  const session = await openSession(model.file, { runtime, threads });
  opened.push(session);
  return session;
}

async function textFrom(session: Session, seed: number, options: Partial<GenerateOptions> = {}): Promise<string> {
  const pace = new Pace({ prefillPatchMs: 0, decodePatchMs: 0 });
  const generation = new Solo({ session, shape: model.shape, pace, nowMs: () => 0 }, { ...sampled(seed), ...options, seed });
  const chunks: Uint8Array[] = [];
  while (generation.outcome === undefined) chunks.push(await generation.step());
  return textOf(chunks);
}

/** Asks both, and keeps what differed. */
class ComparedSession implements Session {
  readonly differences: string[] = [];
  outputs = 0;

  constructor(
    readonly one: ModelSession,
    readonly other: ModelSession,
  ) {}

  tensor(type: string, data: unknown, dims: readonly number[]): Tensor {
    const make = (session: ModelSession) => session.tensor(type as 'int32', data as Int32Array, dims);
    return { type, data, dims, both: [make(this.one), make(this.other)] } as Tensor;
  }

  async run(feeds: Feeds, names: readonly string[]): Promise<Readonly<Record<string, Tensor>>> {
    const of = (index: number): Feeds =>
      Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, (tensor as unknown as { both: Tensor[] }).both[index] as Tensor]));
    const results = await this.one.run(of(0), names);
    const others = await this.other.run(of(1), names);
    for (const name of names) {
      this.outputs += 1;
      const [a, b] = [results[name]!, others[name]!];
      if (a.type !== b.type || a.dims.join() !== b.dims.join() || !bytes(a).equals(bytes(b))) this.differences.push(name);
    }
    return results;
  }
}

function bytes({ data }: Tensor): Buffer {
  const { buffer, byteOffset, byteLength } = data as Float32Array<ArrayBuffer>;
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** The inputs of a first run, as the engine makes them. */
async function firstFeeds(session: ModelSession): Promise<Feeds> {
  let seen: Feeds = {};
  const spy: Session = {
    tensor: session.tensor.bind(session) as Session['tensor'],
    run: (feeds, names) => {
      seen = feeds;
      return session.run(feeds, names);
    },
  };
  const pace = new Pace({ prefillPatchMs: 0, decodePatchMs: 0 });
  await new Solo({ session: spy, shape: model.shape, pace, nowMs: () => 0 }, greedy('Once')).step();
  return seen;
}

describe('the direct binding', () => {
  test('is the one that is used here', async () => {
    expect((await bestRuntime()).fallback).toBeUndefined();
  });

  test('gives the outputs of onnxruntime-node to the bit, prefill and decode', async () => {
    const compared = new ComparedSession(await open(nodeRuntime), await open(native));
    for (const seed of [1, 2, 3]) await textFrom(compared, seed);
    await textFrom(compared, 4, { logprobs: 0, frequencyPenalty: 0.5 });
    await textFrom(compared, 5, { logprobs: 5, scoresPrompt: true });
    expect(compared.outputs).toBeGreaterThan(100);
    expect(compared.differences).toEqual([]);
  });

  test('gives the same outputs with two threads as with one', async () => {
    const compared = new ComparedSession(await open(native), await open(native, 2));
    await textFrom(compared, 4);
    expect(compared.differences).toEqual([]);
  });

  test('is of the same library, and tells the same inputs', async () => {
    expect(native.version).toBe(nodeRuntime.version);
    const [one, other] = [await open(native), await open(nodeRuntime)];
    expect(one.inputNames).toEqual(other.inputNames);
    expect(one.inputNames).toEqual(expect.arrayContaining([...INPUT_NAMES]));
  });

  test('reads what is written into a buffer after its tensor was made, however small the buffer', async () => {
    const session = await open(native);
    const feeds = await firstFeeds(session);
    const newkv = async () => [...((await session.run(feeds, ['newkv']))['newkv']!.data as Float32Array)];
    const before = await newkv();
    (feeds['pos']!.data as BigInt64Array)[0] = 5n;
    expect(await newkv()).not.toEqual(before);
    (feeds['pos']!.data as BigInt64Array)[0] = 0n;
    expect(await newkv()).toEqual(before);
  });

  test('gives outputs that later runs leave alone', async () => {
    const session = await open(native);
    const feeds = await firstFeeds(session);
    const first = (await session.run(feeds, ['newkv']))['newkv']!.data as Float32Array;
    const kept = first.slice();
    (feeds['pos']!.data as BigInt64Array)[0] = 9n;
    await session.run(feeds, ['newkv']);
    expect(first).toEqual(kept);
  });

  test('outlives what the garbage collector takes: tensors that were dropped, the library’s own handle', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const session = await open(nativeRuntime(await loadOrtApi()));
    const text = await textFrom(session, 5);
    for (let round = 0; round < 5; round += 1) {
      collect();
      await new Promise(setImmediate);
      expect(await textFrom(session, 5)).toBe(text);
    }
  });

  test('throws what the library says of a bad run, and goes on', async () => {
    const session = await open(native);
    const feeds = await firstFeeds(session);
    await expect(session.run(feeds, ['nothing'])).rejects.toThrow(/nothing/);
    const misshapen = { ...feeds, sel: session.tensor('float32', new Float32Array(1), [1]) };
    await expect(session.run(misshapen, ['newkv'])).rejects.toThrow(/Unexpected input data type/);
    await expect(session.run(feeds, ['newkv'])).resolves.toHaveProperty('newkv');
  });

  test('refuses to run with an input missing, with another binding’s tensor, or after its release', async () => {
    const session = await openSession(model.file, { runtime: native, threads: 1 });
    const feeds = await firstFeeds(session);
    const { sel: _, ...fewer } = feeds;
    await expect(session.run(fewer, ['newkv'])).rejects.toThrow('input sel is missing');
    const foreign = { ...feeds, sel: (await open(nodeRuntime)).tensor('int32', new Int32Array(1), [1]) };
    await expect(session.run(foreign, ['newkv'])).rejects.toThrow('no tensor of this session');
    await session.release();
    await session.release();
    await expect(session.run(feeds, ['newkv'])).rejects.toThrow('released');
  });

  test.skipIf(process.platform !== 'linux')('ends a session’s threads with the session', async () => {
    const threads = async () => (await readdir('/proc/self/task')).length;
    const before = await threads();
    const session = await openSession(model.file, { runtime: native, threads: 4 });
    expect(await threads()).toBe(before + 3);
    await session.release();
    await expect.poll(threads).toBe(before);
  });
});

test('where the direct binding cannot be loaded, onnxruntime-node gives the same text, and the reason is told', async () => {
  const { runtime, fallback } = await bestRuntime(() => Promise.reject(new Error('no build for this machine')));
  expect(fallback?.message).toBe('no build for this machine');
  expect(await textFrom(await open(runtime), 7)).toBe(await textFrom(await open(native), 7));
});

test('the event loop goes on turning while either binding runs again and again', async () => {
  for (const runtime of [native, nodeRuntime]) {
    const session = await open(runtime);
    const feeds = await firstFeeds(session);
    let turns = 0;
    const count = () => {
      turns += 1;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    const untilMs = performance.now() + 50;
    while (performance.now() < untilMs) await session.run(feeds, ['newkv']);
    clearImmediate(immediate);
    expect(turns).toBeGreaterThan(5);
  }
});
