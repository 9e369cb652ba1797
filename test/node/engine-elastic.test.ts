/** A tier whose runs take the cores of idle workers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ElasticSession } from '../../functions/engine/elastic-session.js';
import { footprint } from '../../functions/engine/memory.js';
import { Occupancy } from '../../functions/engine/occupancy.js';
import type { ModelSession } from '../../functions/engine/onnx-runtime.js';
import { type PoolOptions, WorkerPool } from '../../functions/engine/pool.js';
import type { Feeds, Tensor } from '../../functions/engine/session.js';
import type { Placement } from '../../functions/engine/types.js';
import { WorkerHost } from '../../functions/engine/worker-host.js';
import { greedy, openRegistry, textOf, tieredModels, tinyModel } from './engine-models.js';

const PATCH: Feeds = { ids: { type: 'int32', data: new Int32Array(24), dims: [1, 2, 12] } };
const PROMPT: Feeds = { ids: { type: 'int32', data: new Int32Array(60), dims: [1, 5, 12] } };

/** Takes as long as it is told on a clock that nothing else moves. */
function sessions(msOf: { narrow: number; wide: number }) {
  let nowMs = 0;
  const ran: string[] = [];
  const session = (name: 'narrow' | 'wide'): ModelSession => ({
    inputNames: ['ids'],
    threads: name === 'wide' ? 2 : 1,
    tensor: (): Tensor => ({ type: 'float32', data: name, dims: [] }),
    run: async () => {
      ran.push(name);
      nowMs += msOf[name];
      return {};
    },
    release: async () => void ran.push(`${name} released`),
  });
  let alone = true;
  const elastic = new ElasticSession(session('narrow'), () => alone, () => nowMs);
  const decode = async (patches: number) => {
    ran.length = 0;
    for (let patch = 0; patch < patches; patch += 1) await elastic.run(PATCH, ['newkv', 'toks']);
    return ran.filter((name) => name === 'wide').length / patches;
  };
  return { elastic, ran, decode, widen: () => elastic.widen(session('wide')), share: (others: boolean) => (alone = !others) };
}

describe('a session with two widths', () => {
  test('runs narrow until it is widened, and while others work', async () => {
    const { elastic, decode, widen, share } = sessions({ narrow: 3, wide: 2 });
    expect(await decode(10)).toBe(0);
    widen();
    expect(await decode(100)).toBeGreaterThan(0.7);
    expect(elastic.threads).toBe(2);
    share(true);
    expect(await decode(10)).toBe(0);
    expect(elastic.threads).toBe(1);
  });

  test('runs wide only as long as that is faster, and notices when it is again', async () => {
    const ms = { narrow: 3, wide: 6 };
    const { decode, widen, elastic, ran } = sessions(ms);
    widen();
    await decode(100);
    expect(await decode(320)).toBeLessThan(0.05);
    ran.length = 0;
    await elastic.run(PROMPT, ['newkv']);
    expect(ran).toEqual(['narrow']);
    ms.wide = 2;
    await decode(32 * 16);
    expect(await decode(320)).toBeGreaterThan(0.95);
  });

  test('releases both', async () => {
    const { elastic, widen, ran } = sessions({ narrow: 1, wide: 1 });
    widen();
    await elastic.release();
    expect(ran).toEqual(['narrow released', 'wide released']);
  });
});

test('a worker is alone while no other has anything to do, whichever thread looks', () => {
  const main = new Occupancy(3);
  const seen = new Occupancy(3, main.shared);
  expect([0, 1, 2].map((worker) => seen.isAlone(worker))).toEqual([true, true, true]);
  main.set(1, 2);
  expect([0, 1, 2].map((worker) => seen.isAlone(worker))).toEqual([false, true, false]);
  main.set(1, 0);
  expect(seen.isAlone(0)).toBe(true);
});

describe('a pool with cores to spare', () => {
  const [SMALL, LARGE] = ['stlm-small', 'stlm-large'] as const;
  const WORKER = new URL('../../dist/functions/engine/worker.js', import.meta.url);
  const pools: WorkerPool[] = [];
  afterEach(() => Promise.all(pools.splice(0).map((pool) => pool.close())));

  async function openPool(options: Partial<PoolOptions> = {}) {
    const registry = await openRegistry(await tieredModels([SMALL, LARGE]));
    const pool = new WorkerPool({ registry, workerUrl: WORKER, workers: 2, threads: 1, wideThreads: 2, ...options });
    pools.push(pool);
    const bytesOf = (tier: string) => pool.status().find(({ id }) => id === tier)?.memoryBytes ?? 0;
    return { pool, bytesOf, size: footprint(registry.manifests[0]!) };
  }

  const at = (tier: string, worker = 0): Placement => ({ tier, worker });

  async function generate(pool: WorkerPool, placement: Placement, seed = 1): Promise<string> {
    const chunks: Uint8Array[] = [];
    const options = greedy('The city was built on the river, and ', { maxBytes: 120, seed });
    for await (const { bytes } of pool.generate(placement, options, new AbortController().signal)) chunks.push(bytes);
    return textOf(chunks);
  }

  test('opens a larger tier once more, counts its memory, and writes the same text', async () => {
    const { pool, bytesOf, size } = await openPool();
    await Promise.all([pool.load(at(LARGE)), pool.load(at(SMALL, 1))]);
    const narrow = await generate(pool, at(LARGE));
    expect(bytesOf(LARGE)).toBe(size.copy);
    expect(await pool.widen(at(LARGE))).toBe(true);
    expect(await pool.widen(at(LARGE))).toBe(false);
    expect(bytesOf(LARGE)).toBe(size.copy + size.session);
    expect(await generate(pool, at(LARGE))).toBe(narrow);
    await pool.unload(at(LARGE));
    expect(bytesOf(LARGE)).toBe(0);
  });

  test('leaves alone the smallest tier, what is not loaded, and what there is no memory for', async () => {
    const { pool, bytesOf, size } = await openPool();
    await pool.load(at(SMALL));
    await pool.widen(at(SMALL));
    await pool.widen(at(LARGE, 1));
    expect([bytesOf(SMALL), bytesOf(LARGE)]).toEqual([size.copy, 0]);

    const tight = await openPool({ memoryBytes: size.copy + size.session / 2 });
    await tight.pool.load(at(LARGE));
    await tight.pool.widen(at(LARGE));
    expect(tight.bytesOf(LARGE)).toBe(size.copy);
  });

  test('brings a wide tier back as wide when its worker dies, its memory kept for it meanwhile', async () => {
    const { pool, bytesOf, size } = await openPool({ workerUrl: new URL('./engine-mortal-worker.mjs', import.meta.url) });
    await pool.load(at(LARGE));
    await pool.widen(at(LARGE));
    const text = await generate(pool, at(LARGE));
    await expect(generate(pool, at(LARGE), 666)).rejects.toThrow('the worker died');
    expect(bytesOf(LARGE)).toBe(size.copy + size.session);
    await expect.poll(() => pool.isWarm(at(LARGE)), { timeout: 20_000 }).toBe(true);
    expect(await generate(pool, at(LARGE))).toBe(text);
    expect(bytesOf(LARGE)).toBe(size.copy + size.session);
  });

  test('takes a worker that died while it loaded for idle', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stlm-births-'));
    process.env['STILLBORN'] = folder;
    const occupancy = new Occupancy(2);
    const setup = { worker: 0, workers: 2, occupancy: occupancy.shared, threads: 1, wideThreads: 2 };
    const url = new URL('./engine-stillborn-worker.mjs', import.meta.url);
    const host = new WorkerHost({ url, setup, occupancy, nowMs: () => 0, onGone: () => undefined });
    const { file, shape, manifest } = await tinyModel();
    const load = host.load({ tier: LARGE, file, shape, prefixBytes: 0, pace: manifest.latencySeed }, Infinity);
    expect(occupancy.isAlone(1)).toBe(false);
    await expect(load).rejects.toThrow('the worker died');
    expect(occupancy.isAlone(1)).toBe(true);
    await host.close();
    delete process.env['STILLBORN'];
    await rm(folder, { recursive: true });
  });
});
