/** Tiers that come and go in the memory of real workers. */
import { copyFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { TierQuarantinedError, TierUnavailableError } from '../../functions/engine/errors.js';
import { Generation } from '../../functions/engine/generate.js';
import { footprint, prefixBytes } from '../../functions/engine/memory.js';
import { monotonicMs } from '../../functions/engine/monotonic.js';
import { bestRuntime, openSession } from '../../functions/engine/open-session.js';
import { type PoolOptions, WorkerPool } from '../../functions/engine/pool.js';
import { readyTier, releaseTier } from '../../functions/engine/tier.js';
import type { GenerateOptions, Placement } from '../../functions/engine/types.js';
import { seededRandom } from '../load/seeded.js';
import { greedy, openRegistry, textOf, tieredModels, tinyModel } from './engine-models.js';

const WORKER = new URL('../../dist/functions/engine/worker.js', import.meta.url);
const [SMALL, MEDIUM, LARGE] = ['stlm-small', 'stlm-medium', 'stlm-large'] as const;
const PROMPT = 'The city was built on the river, and ';
const LONG_TEXT = { maxBytes: 400, logitBias: new Map([...Array(256).keys()].map((byte) => [byte, 40])) };

const pools: WorkerPool[] = [];
const folders: string[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

/** @param copies how many of the test model the memory holds, and how long ago everything seems when the clock is turned on. */
async function openPool({ copies, ...options }: { copies?: number } & Partial<PoolOptions>) {
  const folder = await tieredModels([SMALL, MEDIUM, LARGE]);
  folders.push(folder);
  const registry = await openRegistry(folder);
  const { copy, text } = footprint(registry.manifests[0]!);
  let aheadMs = 0;
  const limits = copies === undefined ? {} : { memoryBytes: copies * (copy + text) };
  const pool = new WorkerPool({ registry, workerUrl: WORKER, workers: 1, threads: 1, nowMs: () => monotonicMs() + aheadMs, ...limits, ...options });
  pools.push(pool);
  const warm = () => pool.status().flatMap(({ id, workers }) => workers.map((worker) => `${id}/${worker}`));
  return { pool, folder, warm, passMinute: () => (aheadMs += 60_000) };
}

const at = (tier: string, worker = 0): Placement => ({ tier, worker });

async function generate(pool: WorkerPool, placement: Placement, options: Partial<GenerateOptions> = {}): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const { bytes } of pool.generate(placement, greedy(PROMPT, options), new AbortController().signal)) chunks.push(bytes);
  return textOf(chunks);
}

const settled = async <T>(promise: Promise<T>) => (await Promise.allSettled([promise]))[0] as PromiseSettledResult<T>;

describe('the memory budget', () => {
  test('is kept by unloading the least recently used tier', async () => {
    const { pool, warm, passMinute } = await openPool({ copies: 2 });
    for (const tier of [SMALL, MEDIUM]) await pool.load(at(tier));
    passMinute();
    await generate(pool, at(SMALL));
    passMinute();
    await pool.load(at(LARGE));
    expect(warm()).toEqual([`${SMALL}/0`, `${LARGE}/0`]);
    expect(pool.status().find(({ id }) => id === MEDIUM)).toMatchObject({ state: 'cold', workers: [], memoryBytes: 0 });
  });

  test('refuses a load for which nothing may go, and says why, without quarantine', async () => {
    const { pool, warm, passMinute } = await openPool({ copies: 2 });
    for (const tier of [SMALL, MEDIUM]) await pool.load(at(tier));
    const text = generate(pool, at(MEDIUM), LONG_TEXT);
    await sleep(0);
    passMinute();
    expect(pool.hasRoom(LARGE)).toBe(false);
    await expect(pool.load(at(LARGE))).rejects.toThrow(TierUnavailableError);
    await expect(generate(pool, at(LARGE))).rejects.toThrow(/no memory: it takes \d+ MiB, and \d+ of \d+ are in use/);
    expect(pool.status().find(({ id }) => id === LARGE)).toMatchObject({ state: 'cold', reason: expect.stringContaining('no memory') });
    expect(await text).toHaveLength(400);
    passMinute();
    expect(pool.hasRoom(LARGE)).toBe(true);
    await pool.load(at(LARGE));
    expect(warm()).toEqual([`${SMALL}/0`, `${LARGE}/0`]);
  });

  test('holds for loads that begin at the same time on several workers', async () => {
    const { pool, warm } = await openPool({ copies: 3, workers: 2 });
    const placements = [SMALL, MEDIUM, LARGE].flatMap((tier) => [at(tier, 0), at(tier, 1)]);
    const loads = await Promise.allSettled([...placements, ...placements].map((placement) => pool.load(placement)));
    expect(warm()).toHaveLength(3);
    // Two calls asked for each placement, and both get the same answer.
    expect(loads.filter(({ status }) => status === 'fulfilled')).toHaveLength(6);
  });

  test('never takes the last copy of the smallest tier', async () => {
    const { pool, passMinute } = await openPool({ copies: 1 });
    await pool.load(at(SMALL));
    passMinute();
    await expect(pool.load(at(MEDIUM))).rejects.toThrow(TierUnavailableError);
    expect(await generate(pool, at(SMALL))).toHaveLength(60);
  });
});

describe('an unloaded tier', () => {
  test('has finished its texts, is cold, and comes back with the next request', async () => {
    const { pool, warm } = await openPool({});
    const expected = await generate(pool, at(SMALL));
    const text = generate(pool, at(SMALL), LONG_TEXT);
    await sleep(0);
    const unloaded = pool.unload(at(SMALL));
    expect(pool.isWarm(at(SMALL))).toBe(false);
    await unloaded;
    expect(await text).toHaveLength(400);
    expect(warm()).toEqual([]);
    expect(await generate(pool, at(SMALL))).toBe(expected);
  });

  test('keeps nothing of prompts or texts', async () => {
    const { file, shape, manifest } = await tinyModel();
    const session = await openSession(file, { ...(await bestRuntime()), threads: 1 });
    const loaded = await readyTier(session, { tier: SMALL, shape, prefixBytes: prefixBytes(manifest), pace: manifest.latencySeed }, monotonicMs);
    const texts = [1, 2].map((seed) => new Generation({ ...loaded, nowMs: monotonicMs }, greedy('ab '.repeat(40), { seed })));
    while (texts.some(({ ready }) => !ready)) for (const text of texts.filter(({ ready }) => !ready)) await loaded.runner.run([text]);
    await loaded.runner.run(texts);
    expect(loaded.prefixes.bytes).toBeGreaterThan(0);
    await releaseTier(loaded);
    expect(loaded.prefixes.bytes).toBe(0);
    await expect(loaded.runner.run(texts)).rejects.toThrow('the session has been released');
  });

  test('that a request wants while its last text runs is kept', async () => {
    const { pool } = await openPool({});
    await pool.load(at(SMALL));
    const text = generate(pool, at(SMALL), LONG_TEXT);
    await sleep(0);
    const unloaded = pool.unload(at(SMALL));
    expect(await pool.load(at(SMALL))).toBeLessThan(20);
    await unloaded;
    expect(pool.isWarm(at(SMALL))).toBe(true);
    expect(await text).toHaveLength(400);
  });

  test('gives every text whole, however loads, unloads and texts cross', async () => {
    const { pool, passMinute } = await openPool({ copies: 5, workers: 2 });
    const expected = await generate(pool, at(SMALL));
    const random = seededRandom(5);
    const pick = <T,>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const texts: Promise<PromiseSettledResult<string>>[] = [];
    for (let step = 0; step < 150; step += 1) {
      const placement = at(pick([SMALL, MEDIUM, LARGE]), pick([0, 1]));
      passMinute();
      const act = random();
      if (act < 0.5) texts.push(settled(generate(pool, placement)));
      else if (act < 0.8) void pool.unload(placement);
      else pool.load(placement).catch(() => undefined);
      if (random() < 0.5) await sleep(random() * 20);
    }
    const ended = await Promise.all(texts);
    const whole = ended.filter((text) => text.status === 'fulfilled' && text.value === expected);
    const refused = ended.filter((text) => text.status === 'rejected' && text.reason instanceof TierUnavailableError);
    expect(whole.length + refused.length).toBe(ended.length);
    expect(whole.length).toBeGreaterThan(20);
    expect(pool.status().reduce((sum, { workers }) => sum + workers.length, 0)).toBeLessThanOrEqual(5);
  });
});

test('an unload under way when the worker dies ends, and the tier comes back with the next request', async () => {
  const { pool } = await openPool({ workerUrl: new URL('engine-mortal-worker.mjs', import.meta.url) });
  await pool.load(at(SMALL));
  const deadly = settled(generate(pool, at(SMALL), { seed: 666 }));
  await sleep(0);
  await pool.unload(at(SMALL));
  expect((await deadly).status).toBe('rejected');
  await expect.poll(async () => (await settled(generate(pool, at(SMALL)))).status).toBe('fulfilled');
});

test('what nobody uses is unloaded, but for the smallest tier and one copy of those that are kept', async () => {
  const { pool, warm } = await openPool({ workers: 2, idleUnloadMs: 100, kept: [LARGE] });
  for (const tier of [SMALL, MEDIUM, LARGE]) for (const worker of [0, 1]) await pool.load(at(tier, worker));
  await expect.poll(warm).toHaveLength(3);
  await sleep(200);
  expect(warm()).toEqual([`${SMALL}/0`, `${SMALL}/1`, expect.stringMatching(LARGE)]);
});

test('a quarantined tier whose file has been repaired serves again once it is asked to qualify', async () => {
  const { pool, folder } = await openPool({});
  const [broken, whole] = [MEDIUM, SMALL].map((tier) => join(folder, tier, `${tier}.int4.onnx`)) as [string, string];
  await truncate(broken, 1_000);
  await expect(pool.load(at(MEDIUM))).rejects.toThrow(TierQuarantinedError);
  await pool.requalify();
  expect(pool.status()).toContainEqual(expect.objectContaining({ id: MEDIUM, state: 'quarantined' }));
  await copyFile(whole, broken);
  await pool.requalify();
  expect(pool.status()).toContainEqual(expect.objectContaining({ id: MEDIUM, state: 'cold' }));
  expect(await generate(pool, at(MEDIUM))).toHaveLength(60);
});
