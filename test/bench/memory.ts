/**
 * `bench memory`: what workers, loaded tiers and long texts add to the resident memory of a process. The constants of
 * `engine/memory.ts` and `engine/pool-plan.ts` come from here.
 */
import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { footprint, prefixBytes } from '../../functions/engine/memory.js';
import { WorkerPool } from '../../functions/engine/pool.js';
import type { Placement } from '../../functions/engine/types.js';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { defaultFile } from '../../functions/registry/manifest.js';
import { Registry } from '../../functions/registry/registry.js';
import { describeMachine } from './machine.js';
import { table } from './table.js';

/** Until the threads have started. */
const SETTLING_MS = 1_500;
const TEXTS = 4;
/** More than any context holds. */
const LONG_PROMPT = new TextEncoder().encode('The quick brown fox jumps over the lazy dog. '.repeat(200));

export interface MemoryOptions {
  readonly artifacts: string;
  /** Holds the prepared models: the run that prepares them takes more memory than any later one. */
  readonly folder: string;
}

export async function benchMemory({ artifacts, folder }: MemoryOptions): Promise<void> {
  await mkdir(folder, { recursive: true });
  const registry = await Registry.open(new FolderStore(artifacts), new ModelFileCache(folder));
  const processMiB = residentMiB();
  const pool = new WorkerPool({ registry, workerUrl: new URL('../../functions/engine/worker.js', import.meta.url), workers: 2, threads: 1, preparedFolder: folder });
  await sleep(SETTLING_MS);
  const workersMiB = residentMiB();
  const rows: string[][] = [];
  for (const manifest of registry.manifests) {
    const [first, second] = [0, 1].map((worker) => ({ tier: manifest.id, worker })) as [Placement, Placement];
    const { copy, text } = footprint(manifest);
    rows.push([
      manifest.id,
      ...[inMiB(defaultFile(manifest).bytes), await addedMiB(() => pool.load(first)), await addedMiB(() => pool.load(second)), inMiB(copy - prefixBytes(manifest))].map(rounded),
      ...[await addedMiB(() => Promise.all(Array.from({ length: TEXTS }, () => writeLong(pool, first)))), inMiB(TEXTS * text)].map(rounded),
    ]);
  }
  await pool.close();
  const { cpu, node } = describeMachine();
  console.log(`${cpu}, Node ${node}. Resident, MiB: the process ${rounded(processMiB)}, with 2 workers ${rounded(workersMiB)}; then each step adds\n`);
  console.log(table(['tier', 'its file', 'first copy', 'second copy', 'estimate', `${TEXTS} long texts`, 'estimate'], rows));
}

/** A text that fills the context, never ends by itself, and shares runs with others. */
async function writeLong(pool: WorkerPool, placement: Placement): Promise<void> {
  const logitBias = new Map([...Array(256).keys()].map((byte) => [byte, 40]));
  const options = { prompt: LONG_PROMPT, maxBytes: 200, temperature: 1, topP: 1, topK: 0, seed: undefined, stop: [], logitBias, cacheSalt: '', deadlineAtMs: Infinity };
  for await (const _ of pool.generate(placement, options, new AbortController().signal));
}

async function addedMiB(step: () => Promise<unknown>): Promise<number> {
  const beforeMiB = residentMiB();
  await step();
  return residentMiB() - beforeMiB;
}

function residentMiB(): number {
  return inMiB(process.memoryUsage.rss());
}

function inMiB(bytes: number): number {
  return bytes / 2 ** 20;
}

function rounded(value: number): string {
  return value.toFixed(1);
}
