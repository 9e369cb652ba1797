/**
 * What loaded tiers take of the machine's memory, and which of them make room for another.
 *
 * @module
 */
import type { Manifest } from '../schema/manifest.js';

/**
 * A session keeps its weights twice, mapped from the file and packed for the processor's kernels, and room for one run: resident 1.9 to
 * 2.3 bytes for each of the file at 50M and 100M, 18 MiB for 6.6 at 10M (`npm run bench -- memory`).
 */
const RESIDENT_PER_FILE_BYTE = 2.3;
const RESIDENT_FIXED_BYTES = 4 * 2 ** 20;
/** The buffers of a text grow, and those it has outgrown wait for the collector: up to 2.4 times what the last ones hold. */
const RESIDENT_PER_CACHE_BYTE = 2;
/** A text that shares runs has a row of their batch besides, and a batch has up to twice as many rows as texts. */
const ROWS_PER_TEXT = 2;
/** 6,500 patches of 10M, 7,600 of 50M or 5,400 of 100M. */
const MOST_PREFIX_BYTES = 32 * 2 ** 20;
/** Fewer, and the clients of a tiny tier would take each other's beginnings away. */
const FEWEST_PREFIX_CONTEXTS = 8;
/** A copy stays so long at least: two tiers that do not fit together would else take turns at every request, at up to 0.3 s a load. */
const LEAST_STAY_MS = 5_000;

export interface Footprint {
  /** Bytes of one session and its full prefix cache, in one worker. */
  readonly copy: number;
  /** Bytes of one session more. */
  readonly session: number;
  /** Bytes for the keys and values, in float32, of one text that fills the context, alone and in a batch. */
  readonly text: number;
}

export function footprint(manifest: Manifest): Footprint {
  const session = Math.ceil(RESIDENT_PER_FILE_BYTE * fileBytes(manifest)) + RESIDENT_FIXED_BYTES;
  return {
    copy: session + prefixBytes(manifest),
    session,
    text: (RESIDENT_PER_CACHE_BYTE + ROWS_PER_TEXT) * contextBytes(manifest),
  };
}

/** What a tier's prefix cache may take in each worker: as much as its file, so that a small tier stays one. */
export function prefixBytes(manifest: Manifest): number {
  return Math.min(MOST_PREFIX_BYTES, Math.max(fileBytes(manifest), FEWEST_PREFIX_CONTEXTS * contextBytes(manifest)));
}

/** Keys and values, in float32, of as many patches as the context holds. */
function contextBytes({ trunk, context }: Manifest): number {
  return 2 * 4 * trunk.layers * trunk.kvHeads * trunk.headDim * context.patches;
}

function fileBytes({ files, defaultPrecision }: Manifest): number {
  return files.find(({ precision }) => precision === defaultPrecision)?.bytes ?? 0;
}

/** A tier in a worker's memory, or on its way there or out. */
export interface Copy {
  readonly tier: string;
  readonly worker: number;
  readonly bytes: number;
  readonly warm: boolean;
  /** In flight. */
  readonly texts: number;
  readonly loadedAtMs: number;
  /** When it was loaded, or a text last began or ended on it. */
  readonly usedAtMs: number;
}

/** The copies that may be unloaded, the least recently used first: warm, without texts, and not the last of the smallest tier. */
function spare(copies: readonly Copy[], smallest: string): Copy[] {
  const warmSmallest = copies.filter(({ tier, warm }) => warm && tier === smallest);
  const last = warmSmallest.length === 1 ? warmSmallest[0] : undefined;
  return copies.filter((copy) => copy.warm && copy.texts === 0 && copy !== last).toSorted((a, b) => a.usedAtMs - b.usedAtMs);
}

export interface Demand {
  readonly bytes: number;
  readonly budgetBytes: number;
  readonly smallest: string;
  readonly nowMs: number;
}

/** What to unload so that `bytes` more fit the budget: nothing if they do already; undefined if they will not. */
export function evictions(copies: readonly Copy[], { bytes, budgetBytes, smallest, nowMs }: Demand): readonly Copy[] | undefined {
  let missingBytes = bytes + bytesOf(copies) - budgetBytes;
  const evicted: Copy[] = [];
  const kept = [...copies];
  while (missingBytes > 0) {
    const oldest = spare(kept, smallest).find(({ loadedAtMs }) => nowMs - loadedAtMs >= LEAST_STAY_MS);
    if (oldest === undefined) return undefined;
    kept.splice(kept.indexOf(oldest), 1);
    evicted.unshift(oldest);
    missingBytes -= oldest.bytes;
  }
  // The last one may have been large enough to spare an earlier one.
  return evicted.filter(({ bytes }) => {
    const isSpared = missingBytes + bytes <= 0;
    if (isSpared) missingBytes += bytes;
    return !isSpared;
  });
}

export interface Idleness {
  readonly leastMs: number;
  readonly smallest: string;
  /** Tiers of which one copy stays. */
  readonly kept: readonly string[];
  readonly nowMs: number;
}

/** The copies that came with a peak of load which is over. The smallest tier stays on every worker. */
export function idleCopies(copies: readonly Copy[], { leastMs, smallest, kept, nowMs }: Idleness): readonly Copy[] {
  const idle: Copy[] = [];
  for (const copy of spare(copies, smallest)) {
    const isLast = copies.filter((other) => other.tier === copy.tier && other.warm && !idle.includes(other)).length === 1;
    const stays = copy.tier === smallest || (isLast && kept.includes(copy.tier));
    if (!stays && nowMs - copy.usedAtMs >= leastMs) idle.push(copy);
  }
  return idle;
}

export function bytesOf(copies: readonly Copy[]): number {
  return copies.reduce((sum, { bytes }) => sum + bytes, 0);
}
