/**
 * The caches of the texts that decode together, as one run reads them: a row each of the same buffers. A text's own cache stays the
 * one that counts; its row here is a copy that is brought up to date before the run. A text that stays costs the patch it has read
 * since, one that joins costs its whole cache once, and one that leaves nothing. Where the buffers no longer suit, all are copied anew.
 *
 * @module
 */
import { bucketFor, cacheFeeds, type KvCache, type TrunkShape } from './kv-cache.js';
import type { Feeds, Session } from './session.js';

interface Row {
  readonly cache: KvCache;
  /** Of the cache, how many this row has, and since which clearing. */
  patches: number;
  clears: number;
}

export class KvBatch {
  readonly #session: Session;
  readonly #trunk: TrunkShape;
  #rows: (Row | undefined)[] = [];
  /** In the order of `newkv`; each [rowCapacity, kvHeads, capacity, headDim]. */
  #buffers: readonly Float32Array[] = [];
  #rowCapacity = 0;
  #capacity = 0;
  /** By how many rows a run has: it reads the first of the buffers. */
  readonly #feeds = new Map<number, Feeds>();

  constructor(session: Session, trunk: TrunkShape) {
    this.#session = session;
    this.#trunk = trunk;
  }

  /** Gives each cache one of the first rows, its own if it has one: the same caches in the order of their rows. */
  seat(caches: readonly KvCache[]): readonly KvCache[] {
    const standing = new Set(caches);
    const stay = Array.from(caches, (_, index) => {
      const row = this.#rows[index];
      return row !== undefined && standing.delete(row.cache) ? row : undefined;
    });
    const newcomers = standing.values();
    const seated = stay.map((row) => row ?? unfilled(newcomers.next().value as KvCache));
    // Whoever sits behind them is not in this run, or has just moved to the front.
    const behind = this.#rows.slice(caches.length).map((row) => (row !== undefined && caches.includes(row.cache) ? undefined : row));
    this.#rows = [...seated, ...behind];
    this.#fit();
    const run = this.#rows.slice(0, caches.length) as Row[];
    for (const [index, row] of run.entries()) {
      const { cache } = row;
      const from = row.clears === cache.clears ? row.patches : 0;
      cache.copyTo(this.#buffers, { row: index, capacity: this.#capacity, from });
      row.patches = cache.patches;
      row.clears = cache.clears;
    }
    return run.map(({ cache }) => cache);
  }

  /** For a run of the first `count` rows: float32 [count, kvHeads, capacity, headDim] each. */
  feeds(count: number): Feeds {
    const known = this.#feeds.get(count);
    if (known !== undefined) return known;
    const { kvHeads, headDim } = this.#trunk;
    const dims = [count, kvHeads, this.#capacity, headDim];
    const length = count * kvHeads * this.#capacity * headDim;
    const feeds = cacheFeeds(this.#session, this.#buffers.map((buffer) => buffer.subarray(0, length)), dims);
    this.#feeds.set(count, feeds);
    return feeds;
  }

  /** The text is over. Buffers of which less than half is left in use go with it: the next run of several makes smaller ones. */
  leave(cache: KvCache): void {
    this.#rows = this.#rows.map((row) => (row?.cache === cache ? undefined : row));
    const staying = this.#rows.filter((row) => row !== undefined);
    if (2 * staying.length >= this.#rowCapacity) return;
    this.clear();
    this.#rows = staying.map((row) => unfilled(row.cache));
  }

  clear(): void {
    this.#rows = [];
    this.#buffers = [];
    this.#rowCapacity = 0;
    this.#capacity = 0;
    this.#feeds.clear();
  }

  /** Attention copies the whole capacity of what it is given, so buffers also shrink, once half of it would do for all. */
  #fit(): void {
    const capacity = bucketFor(1 + Math.max(...this.#rows.map((row) => row?.cache.patches ?? 0)));
    const isRight = capacity <= this.#capacity && 2 * capacity > this.#capacity && this.#rows.length <= this.#rowCapacity;
    if (isRight) return;
    const { layers, kvHeads, headDim } = this.#trunk;
    // All are filled anew: those behind may move up.
    this.#rows = this.#rows.flatMap((row) => (row === undefined ? [] : [unfilled(row.cache)]));
    this.#capacity = capacity;
    this.#rowCapacity = 2 ** Math.ceil(Math.log2(this.#rows.length));
    this.#buffers = Array.from({ length: 2 * layers }, () => new Float32Array(this.#rowCapacity * kvHeads * capacity * headDim));
    this.#feeds.clear();
  }
}

function unfilled(cache: KvCache): Row {
  return { cache, patches: 0, clears: cache.clears };
}
