/**
 * How many workers a machine gets, how much memory the tiers may take, and which tier is loaded where after the start.
 *
 * @module
 */
import type { Manifest } from '../schema/manifest.js';
import { footprint } from './memory.js';
import type { Placement } from './types.js';

export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
}

/** What the operator has settled; the machine decides the rest. */
export interface PoolSettings {
  readonly workers?: number | undefined;
  /** Threads of one run, in each worker. */
  readonly threads: number;
  readonly memoryBytes?: number | undefined;
  /** Larger tiers to load after the start. */
  readonly preload: 'all' | readonly string[];
  readonly idleUnloadMs: number;
}

export interface PoolPlan {
  readonly workers: number;
  readonly threads: number;
  /** Of a run while all other workers are idle. */
  readonly wideThreads: number;
  readonly memoryBytes: number;
  readonly idleUnloadMs: number;
  /** Tiers of which one copy stays, however idle. */
  readonly kept: readonly string[];
  /** In the order in which they are to be loaded; the smallest tier comes first, on as many workers as there is room for. */
  readonly preload: readonly Placement[];
}

/** The rest is for the process itself, its workers' heaps, the page cache, and whatever else the machine runs. */
const MEMORY_SHARE = 0.5;
/** Of a worker thread by itself: two raised a process from 70 to 101 MiB (`npm run bench -- memory`). */
const WORKER_BYTES = 16 * 2 ** 20;
/** Workers with the smallest tier get so much of the tiers' memory at most: the larger ones need room too. */
const SMALLEST_SHARE = 0.5;
/** A run alone on the machine takes so many times its threads: what two do for one has been measured, and what more do has not. */
const WIDER = 2;
/** Of each larger tier. One long text should not make its tier cold for everybody else; further copies come with the load. */
const PRELOADED_COPIES = 2;

/** @throws {RangeError} if not even the smallest tier fits the memory. */
export function poolPlan(machine: Machine, manifests: readonly Manifest[], settings: PoolSettings): PoolPlan {
  const { threads, idleUnloadMs, memoryBytes = machine.memoryBytes * MEMORY_SHARE } = settings;
  const [smallest, ...larger] = manifests;
  if (smallest === undefined) return { workers: settings.workers ?? 1, threads, wideThreads: threads, memoryBytes, idleUnloadMs, kept: [], preload: [] };

  const smallestBytes = footprint(smallest).copy;
  if (smallestBytes > memoryBytes) {
    throw new RangeError(`${smallest.id} takes ${inMiB(smallestBytes)} MiB and the models may take ${inMiB(memoryBytes)}: see STLM_MEMORY_MB`);
  }
  const affordable = Math.floor((SMALLEST_SHARE * memoryBytes) / (WORKER_BYTES + smallestBytes));
  const workers = settings.workers ?? Math.max(1, Math.min(Math.floor(machine.cores / threads), affordable));
  const everywhere = Array.from({ length: Math.min(workers, Math.floor(memoryBytes / smallestBytes)) }, (_, worker) => ({ tier: smallest.id, worker }));

  let leftBytes = memoryBytes - everywhere.length * smallestBytes;
  const spread: Placement[] = [];
  for (let round = 0; round < Math.min(PRELOADED_COPIES, workers); round += 1) {
    for (const [index, manifest] of larger.entries()) {
      const { copy: bytes } = footprint(manifest);
      if (bytes > leftBytes || (settings.preload !== 'all' && !settings.preload.includes(manifest.id))) continue;
      leftBytes -= bytes;
      // Neighbours in size on different workers, each worker at most once.
      spread.push({ tier: manifest.id, worker: (index + round) % workers });
    }
  }
  const kept = [...new Set(spread.map(({ tier }) => tier))];
  const wideThreads = Math.min(machine.cores, WIDER * threads);
  return { workers, threads, wideThreads, memoryBytes, idleUnloadMs, kept, preload: [...everywhere, ...spread] };
}

function inMiB(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}
