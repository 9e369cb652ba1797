import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { EngineClosedError, TierQuarantinedError, WorkerCrashedError } from '../../functions/engine/errors.js';
import { type PoolOptions, WorkerPool } from '../../functions/engine/pool.js';
import type { GenerateOptions, GenerateResult, Piece } from '../../functions/engine/types.js';
import { greedy, MODELS, openRegistry, textOf, TINY } from './engine-models.js';
import { manifestOf, sha256 } from './registry-artifact.js';

const WORKER = new URL('../../dist/functions/engine/worker.js', import.meta.url);
const PROMPT = 'The city was built on the river, and ';
const DEADLY_SEED = 666;
/** Bytes only: the text never ends by itself. */
const endless = { maxBytes: 1_000_000, logitBias: new Map([...Array(256).keys()].map((byte) => [byte, 40])) };

const pools: WorkerPool[] = [];
afterEach(() => Promise.all(pools.splice(0).map((pool) => pool.close())));

async function openPool({ folder = MODELS, ...parts }: Partial<PoolOptions> & { folder?: string } = {}): Promise<WorkerPool> {
  const registry = await openRegistry(folder);
  const pool = new WorkerPool({ registry, workerUrl: WORKER, workers: 1, threads: 1, ...parts });
  pools.push(pool);
  return pool;
}

interface Generated {
  readonly text: string;
  readonly result: GenerateResult;
}

const place = (worker = 0) => ({ tier: TINY, worker });

async function generate(pool: WorkerPool, options: GenerateOptions = greedy(PROMPT), signal = new AbortController().signal): Promise<Generated> {
  const pieces = pool.generate(place(), options, signal);
  const chunks: Uint8Array[] = [];
  for (;;) {
    const next = await pieces.next();
    if (next.done === true) return { text: textOf(chunks), result: next.value };
    chunks.push(next.value.bytes);
  }
}

const inMs = (ms: number) => performance.timeOrigin + performance.now() + ms;

describe('a pool of workers', () => {
  test('runs many generations of one request without a warning of a leak', async () => {
    const pool = await openPool();
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on('warning', warn);
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 16 }, () => generate(pool, greedy(PROMPT), signal)));
    await sleep(0);
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  test('loads a tier for the first request, and tells what the time went into', async () => {
    const pool = await openPool();
    expect(pool.status()).toEqual([{ id: TINY, state: 'cold', workers: [], memoryBytes: 0 }]);
    const cold = await generate(pool);
    expect(pool.status()).toEqual([{ id: TINY, state: 'ready', loadMs: expect.any(Number), workers: [0], memoryBytes: expect.any(Number) }]);
    const warm = await generate(pool);
    expect(warm.text).toBe(cold.text);
    expect(cold.text).toHaveLength(60);
    expect(cold.result).toMatchObject({ stopCause: 'length', completionBytes: 60, contextTruncated: false });
    expect(cold.result.timings.loadMs).toBeGreaterThan(warm.result.timings.loadMs);
    expect(Object.values(warm.result.timings).every((ms) => ms >= 0)).toBe(true);
    expect(warm.result.timings.decodeMs).toBeGreaterThan(0);
  });

  test('loads once for many first requests, each worker its own', async () => {
    const pool = await openPool({ workers: 2 });
    const texts = await Promise.all([1, 2, 3, 4].map(async () => (await generate(pool)).text));
    expect(new Set(texts).size).toBe(1);
    expect(pool.isWarm(place(0))).toBe(true);
    expect(pool.isWarm(place(1))).toBe(false);
    expect(await pool.load(place(1))).toBeGreaterThan(0);
    expect(pool.isWarm(place(1))).toBe(true);
  });

  test('says of what is warm what its load took', async () => {
    const pool = await openPool();
    const loadMs = await pool.load(place());
    expect([await pool.load(place()), pool.status()[0]!.loadMs]).toEqual([loadMs, loadMs]);
  });

  test('interleaves generations without changing any of them', async () => {
    const pool = await openPool();
    const options = [0, 1, 2, 3].map((seed) => greedy(PROMPT, { temperature: 1, seed, maxBytes: 100 }));
    const alone: string[] = [];
    for (const each of options) alone.push((await generate(pool, each)).text);
    const together = await Promise.all(options.map((each) => generate(pool, each)));
    expect(together.map(({ text }) => text)).toEqual(alone);
  });

  test('gives a seed the same bytes among texts that share runs as alone', async () => {
    const pool = await openPool();
    const options = greedy(PROMPT, { temperature: 1, seed: 12, maxBytes: 200 });
    const alone = await generate(pool, options);
    const others = [1, 2, 3, 4, 5, 6].map(() => generate(pool, { ...greedy(PROMPT, { temperature: 1, maxBytes: 400 }), seed: undefined }));
    const seeded = await generate(pool, options);
    expect(seeded.text).toBe(alone.text);
    // Rows of this model may come out the same in every run; those of larger ones do not.
    expect(seeded.result.meanBatch).toBe(1);
    for (const { text, result } of await Promise.all(others)) {
      expect(result.completionBytes).toBe(text.length);
      expect(result.meanBatch).toBeGreaterThan(1.5);
    }
  });

  test('says of texts that shared runs what they took and what they would have taken alone', async () => {
    const pool = await openPool();
    await pool.load(place());
    const options = { ...greedy(PROMPT, { temperature: 1, maxBytes: 400, logitBias: endless.logitBias }), seed: undefined };
    const results = (await Promise.all(Array.from({ length: 8 }, () => generate(pool, options)))).map(({ result }) => result);
    for (const { timings } of results) expect(timings.decodeAloneMs).toBeLessThan(timings.decodeMs);
    const { timings } = (await generate(pool, options)).result;
    expect(timings.decodeAloneMs).toBe(timings.decodeMs);
  });

  test('lets texts that have time to spare share runs, and keeps the deadline of one that has none', async () => {
    const pool = await openPool();
    await pool.load(place());
    const options = { ...greedy(PROMPT, { temperature: 1, maxBytes: 400, logitBias: endless.logitBias }), seed: undefined };
    const patient = Array.from({ length: 6 }, (_, index) => generate(pool, { ...options, deadlineAtMs: inMs(60_000 + index) }));
    const hastyAtMs = inMs(150);
    const hasty = await generate(pool, { ...options, maxBytes: 1e6, deadlineAtMs: hastyAtMs });
    expect(hasty.result.stopCause).toBe('deadline');
    expect(inMs(0)).toBeLessThan(hastyAtMs + 100);
    for (const { result } of await Promise.all(patient)) {
      expect(result.stopCause).toBe('length');
      expect(result.meanBatch).toBeGreaterThan(1.5);
    }
  });

  test('lets a text go on when another in its runs is cancelled', async () => {
    const pool = await openPool();
    const abort = new AbortController();
    const options = { ...greedy(PROMPT, { temperature: 1, maxBytes: 400, logitBias: endless.logitBias }), seed: undefined };
    const [cancelled, ...others] = [0, 1, 2].map((index) => generate(pool, { ...options, maxBytes: index === 0 ? 1e6 : 400 }, index === 0 ? abort.signal : undefined));
    await sleep(20);
    abort.abort();
    expect((await cancelled!).result.stopCause).toBe('cancelled');
    for (const { text, result } of await Promise.all(others)) {
      expect(result.stopCause).toBe('length');
      expect(text).toHaveLength(400);
    }
  });

  test('knows what its workers need not read again', async () => {
    const pool = await openPool({ workers: 2 });
    const options = greedy('ab '.repeat(80));
    expect(pool.cachedPatches(TINY, options.prompt, '')).toEqual([0, 0]);
    await generate(pool, options);
    const promised = pool.cachedPatches(TINY, options.prompt, '');
    expect(promised).toEqual([80, 0]);
    expect((await generate(pool, options)).result.cachedPatches).toBe(promised[0]);
  });

  test('promises nothing of what an unloaded tier had read', async () => {
    const pool = await openPool();
    const options = greedy('ab '.repeat(80));
    await generate(pool, options);
    await pool.unload(place());
    await pool.load(place());
    expect(pool.cachedPatches(TINY, options.prompt, '')).toEqual([0]);
    expect((await generate(pool, options)).result.cachedPatches).toBe(0);
  });

  test('breaks a promise of what need not be read again once only, even if no text came of it', async () => {
    const pool = await openPool({ workerUrl: new URL('engine-forgetful-worker.mjs', import.meta.url) });
    const options = greedy('ab '.repeat(80));
    await generate(pool, options);
    expect(pool.cachedPatches(TINY, options.prompt, '')).toEqual([80]);
    const { result } = await generate(pool, { ...options, deadlineAtMs: inMs(-1) });
    expect(result).toMatchObject({ stopCause: 'deadline', decodedPatches: 0, cachedPatches: 0 });
    expect(pool.cachedPatches(TINY, options.prompt, '')).toEqual([0]);
  });

  test('keeps what it knows when a text ends that had begun before that was known', async () => {
    const pool = await openPool();
    await pool.load(place());
    const [abort, hog] = [new AbortController(), new AbortController()];
    const options = greedy('ab '.repeat(80));
    const busy = generate(pool, greedy('', { ...endless, deadlineAtMs: inMs(600_000) }), hog.signal);
    const early = generate(pool, options, abort.signal);
    await generate(pool, { ...options, deadlineAtMs: inMs(300_000) });
    abort.abort();
    expect((await early).result).toMatchObject({ stopCause: 'cancelled', cachedPatches: 0 });
    expect(pool.cachedPatches(TINY, options.prompt, '')).toEqual([80]);
    hog.abort();
    await busy;
  });

  test('runs the earlier deadline first, whichever came first', async () => {
    const pool = await openPool();
    await pool.load(place());
    const abort = new AbortController();
    const patient = generate(pool, greedy('', { ...endless, deadlineAtMs: inMs(600_000) }), abort.signal);
    await sleep(20);
    const { result } = await generate(pool, greedy(PROMPT, { deadlineAtMs: inMs(300_000) }));
    expect(result.stopCause).toBe('length');
    abort.abort();
    expect((await patient).result.stopCause).toBe('cancelled');
  });

  test('draws a seed where none is given', async () => {
    const pool = await openPool();
    const options = { ...greedy(PROMPT, { temperature: 1 }), seed: undefined };
    const first = await generate(pool, options);
    const second = await generate(pool, options);
    expect(second.text).not.toBe(first.text);
  });

  test('ends at a word boundary when the deadline comes', async () => {
    const pool = await openPool();
    await pool.load(place());
    // Letters and spaces only: every word of this text has an end.
    const logitBias = new Map([...endless.logitBias].filter(([byte]) => byte < 128));
    const { text, result } = await generate(pool, greedy(PROMPT, { ...endless, logitBias, deadlineAtMs: inMs(150) }));
    expect(result.stopCause).toBe('deadline');
    expect(result.completionBytes).toBe(text.length);
    expect(text).toMatch(/[^\w']$/);
  });

  test('does not begin what is late already', async () => {
    const pool = await openPool();
    const cold = await generate(pool, greedy(PROMPT, { deadlineAtMs: inMs(-1) }));
    await pool.load(place());
    const warm = await generate(pool, greedy(PROMPT, { deadlineAtMs: inMs(-1) }));
    for (const { result } of [cold, warm]) expect(result).toMatchObject({ stopCause: 'deadline', completionBytes: 0, decodedPatches: 0 });
  });
});

describe('a reader that leaves', () => {
  test('by its signal gets nothing more than what was on its way', async () => {
    const pool = await openPool();
    const abort = new AbortController();
    const bytes = pool.generate(place(), greedy('', endless), abort.signal);
    let before = 0;
    for (let patch = 0; patch < 3; patch += 1) before += ((await bytes.next()).value as Piece).bytes.length;
    abort.abort();
    let after = 0;
    let next = await bytes.next();
    for (; next.done !== true; next = await bytes.next()) after += next.value.bytes.length;
    expect(next.value.stopCause).toBe('cancelled');
    expect(next.value.completionBytes).toBe(before + after);
    expect(after).toBeLessThan(10_000);
  });

  test('before the start costs no load', async () => {
    const pool = await openPool();
    const { result } = await generate(pool, greedy(PROMPT), AbortSignal.abort());
    expect(result.stopCause).toBe('cancelled');
    expect(pool.status()).toEqual([{ id: TINY, state: 'cold', workers: [], memoryBytes: 0 }]);
  });

  test('by breaking off its loop ends compute', async () => {
    const pool = await openPool();
    const never = new AbortController().signal;
    for await (const _ of pool.generate(place(), greedy('', { ...endless, deadlineAtMs: inMs(600_000) }), never)) break;
    // Had it gone on, its earlier deadline would keep this one waiting for a million bytes.
    expect((await generate(pool)).result.stopCause).toBe('length');
  });
});

describe('a worker that dies', () => {
  const mortal = new URL('engine-mortal-worker.mjs', import.meta.url);

  test('fails its own requests only, and is back and warm', async () => {
    const pool = await openPool({ workerUrl: mortal, workers: 2 });
    const expected = (await generate(pool)).text;
    await pool.load(place(1));
    const neighbour = generate(pool, greedy('', { maxBytes: 400, logitBias: endless.logitBias }));
    const other = pool.generate(place(1), greedy('', endless), new AbortController().signal);
    await other.next();
    const deadly = pool.generate(place(1), greedy('', { seed: DEADLY_SEED }), new AbortController().signal);
    await expect(deadly.next()).rejects.toThrow(WorkerCrashedError);
    await expect((async () => { for await (const _ of other); })()).rejects.toThrow(WorkerCrashedError);
    expect((await neighbour).text).toHaveLength(400);
    await expect.poll(() => pool.isWarm(place(1)), { timeout: 10_000 }).toBe(true);
    const again: Uint8Array[] = [];
    for await (const { bytes } of pool.generate(place(1), greedy(PROMPT), new AbortController().signal)) again.push(bytes);
    expect(textOf(again)).toBe(expected);
  }, 30_000);

  test('takes with it what it had read', async () => {
    const pool = await openPool({ workerUrl: mortal });
    const options = greedy('ab '.repeat(80));
    await generate(pool, options);
    await expect(generate(pool, greedy('', { seed: DEADLY_SEED }))).rejects.toThrow(WorkerCrashedError);
    await expect.poll(() => pool.isWarm(place()), { timeout: 10_000 }).toBe(true);
    expect(pool.cachedPatches(TINY, options.prompt, '')).toEqual([0]);
  }, 30_000);

  test.skipIf(process.platform !== 'linux')('leaves none of its sessions’ threads behind', async () => {
    const pool = await openPool({ workerUrl: mortal, threads: 4 });
    await pool.load(place());
    const threads = async () => (await readdir('/proc/self/task')).length;
    const before = await threads();
    for (let life = 0; life < 3; life += 1) {
      await expect(generate(pool, greedy('', { seed: DEADLY_SEED }))).rejects.toThrow(WorkerCrashedError);
      await expect.poll(() => pool.isWarm(place()), { timeout: 10_000 }).toBe(true);
    }
    await expect.poll(threads).toBe(before);
  }, 60_000);

  test('as it starts is not started again and again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stlm-births-'));
    process.env['STILLBORN'] = folder;
    const pool = await openPool({ workerUrl: new URL('engine-stillborn-worker.mjs', import.meta.url) });
    await expect(pool.load(place())).rejects.toThrow(WorkerCrashedError);
    await sleep(300);
    expect(await readFile(join(folder, 'births'), 'utf8')).toBe('.');
    await rm(folder, { recursive: true });
  });
});

describe('a tier that is no good', () => {
  const folders: string[] = [];
  afterEach(() => Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true }))));

  async function copyModels(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'stlm-models-'));
    folders.push(folder);
    await cp(MODELS, folder, { recursive: true });
    return folder;
  }

  test('by a truncated file is quarantined with the reason', async () => {
    const folder = await copyModels();
    await truncate(join(folder, TINY, `${TINY}.int4.onnx`), 1000);
    const pool = await openPool({ folder });
    await expect(generate(pool)).rejects.toThrow(TierQuarantinedError);
    await expect(generate(pool)).rejects.toThrow(/truncated, 1000 of/);
    expect(pool.status()).toMatchObject([{ id: TINY, state: 'quarantined', reason: expect.stringMatching(/truncated/) }]);
  });

  test('by a whole file that is no model is quarantined, and another tier serves', async () => {
    const folder = await copyModels();
    const junk = new TextEncoder().encode('not a model');
    await cp(join(folder, TINY), join(folder, 'stlm-junk'), { recursive: true });
    const manifest = await manifestOf('stlm-junk', junk);
    await writeFile(join(folder, 'stlm-junk', 'manifest.json'), JSON.stringify(manifest));
    await writeFile(join(folder, 'stlm-junk', manifest.files[0]!.name), junk);
    expect(sha256(junk)).toBe(manifest.files[0]!.sha256);
    const pool = await openPool({ folder });
    await expect(pool.load({ tier: 'stlm-junk', worker: 0 })).rejects.toThrow(TierQuarantinedError);
    expect(pool.status().find(({ id }) => id === 'stlm-junk')).toMatchObject({ state: 'quarantined', reason: expect.any(String) });
    expect((await generate(pool)).result.stopCause).toBe('length');
  });

  test('by a graph with other inputs is quarantined', async () => {
    const folder = await copyModels();
    const path = join(folder, TINY, 'manifest.json');
    const { default: manifest } = (await import(path, { with: { type: 'json' } })) as { default: { trunk: { layers: number } } };
    await writeFile(path, JSON.stringify({ ...manifest, trunk: { ...manifest.trunk, layers: manifest.trunk.layers + 1 } }));
    const pool = await openPool({ folder });
    await expect(pool.load(place())).rejects.toThrow(/the graph's inputs are .*, not .*pk2/);
  });

  test('by its manifest is listed with the reason', async () => {
    const folder = await copyModels();
    await writeFile(join(folder, TINY, 'manifest.json'), '{}');
    const pool = await openPool({ folder });
    expect(pool.manifests).toEqual([]);
    expect(pool.status()).toMatchObject([{ id: TINY, state: 'quarantined', reason: expect.stringMatching(/schemaVersion/) }]);
  });
});

describe('closing', () => {
  test('cancels what is in flight, and refuses what comes after', async () => {
    const pool = await openPool();
    const endlessText = pool.generate(place(), greedy('', endless), new AbortController().signal);
    await endlessText.next();
    await pool.close();
    let next = await endlessText.next();
    while (next.done !== true) next = await endlessText.next();
    expect(next.value.stopCause).toBe('cancelled');
    await expect(generate(pool)).rejects.toThrow(EngineClosedError);
    await expect(pool.load(place())).rejects.toThrow(EngineClosedError);
  });
});
