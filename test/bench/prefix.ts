/**
 * `bench prefix`: from a request to its first byte, for a prompt that was never read and for the same again, on one worker of one
 * thread. Every prompt begins otherwise, so that the first reading finds nothing.
 */
import { performance } from 'node:perf_hooks';
import { join } from 'node:path';
import { WorkerPool } from '../../functions/engine/pool.js';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { Registry } from '../../functions/registry/registry.js';
import { englishText } from '../load/english.js';
import { busyWarning, describeMachine } from './machine.js';
import { median } from './statistics.js';
import { table } from './table.js';

export interface PrefixOptions {
  readonly artifacts: string;
  readonly folder: string;
  readonly bytes: number;
  readonly repeats: number;
}

export async function benchPrefix({ artifacts, folder, bytes, repeats }: PrefixOptions): Promise<void> {
  const warning = busyWarning(describeMachine());
  if (warning !== undefined) console.error(warning);
  const registry = await Registry.open(new FolderStore(artifacts), new ModelFileCache(folder));
  const workerUrl = new URL('../../functions/engine/worker.js', import.meta.url);
  const pool = new WorkerPool({ registry, workerUrl, workers: 1, threads: 1, preparedFolder: join(folder, 'prepared') });
  const rows: string[][] = [];
  for (const { id: tier } of pool.manifests) {
    await pool.load({ tier, worker: 0 });
    const read = async (prompt: string) => {
      const sampling = { temperature: 0, topP: 1, topK: 0, seed: undefined, stop: [], logitBias: new Map<number, number>(), cacheSalt: '' };
      const options = { prompt: new TextEncoder().encode(prompt), maxBytes: 1, ...sampling, deadlineAtMs: Infinity };
      const beginMs = performance.now();
      const generation = pool.generate({ tier, worker: 0 }, options, new AbortController().signal);
      await generation.next();
      const firstByteMs = performance.now() - beginMs;
      const { value } = await generation.next();
      return { firstByteMs, cachedBytes: typeof value === 'object' && 'cachedBytes' in value ? value.cachedBytes : 0 };
    };
    await read(englishText(bytes));
    const first: number[] = [];
    const again: number[] = [];
    let cachedBytes = 0;
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      const prompt = `${repeat} ${englishText(bytes)}`.slice(0, bytes);
      first.push((await read(prompt)).firstByteMs);
      const second = await read(prompt);
      again.push(second.firstByteMs);
      cachedBytes = second.cachedBytes;
    }
    const share = (100 * median(again)) / median(first);
    rows.push([tier, median(first).toFixed(1), median(again).toFixed(1), `${share.toFixed(1)}%`, cachedBytes.toFixed(0)]);
  }
  await pool.close();
  console.log(table(['tier', `first byte ms, ${bytes} bytes never read`, 'read before', 'share', 'bytes reused'], rows));
}
