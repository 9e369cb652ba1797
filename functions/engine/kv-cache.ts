/**
 * The keys and values of the patches a text has read so far, in buffers the host owns. The graph takes them as inputs and returns only
 * the new rows ("delta KV"): returning the whole cache would copy it at every run.
 *
 * @module
 */
import type { Feeds, Session, Tensor } from './session.js';

/** Buffers grow in steps of this many patches, so that a short text does not pay for the whole context. */
const BUCKET = 128;

export interface TrunkShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Slots for `patches`: as many as a buffer has that holds them. */
export function bucketFor(patches: number): number {
  return Math.ceil(Math.max(1, patches) / BUCKET) * BUCKET;
}

/** The graph's `pk0, pv0, pk1, …` inputs over buffers that stand in the order of its `newkv` output: layer by layer, keys then values. */
export function cacheFeeds(session: Session, buffers: readonly Float32Array[], dims: readonly number[]): Record<string, Tensor> {
  return Object.fromEntries(
    buffers.map((buffer, index) => [`${index % 2 === 0 ? 'pk' : 'pv'}${index >> 1}`, session.tensor('float32', buffer, dims)]),
  );
}

export class KvCache {
  readonly #session: Session;
  readonly #trunk: TrunkShape;
  /** Each [kvHeads, capacity, headDim]; rows from `patches` on are not read. */
  #buffers: Float32Array[] = [];
  #feeds: Feeds = {};
  #capacity = 0;
  #patches = 0;
  #clears = 0;

  constructor(session: Session, trunk: TrunkShape, expectedPatches: number) {
    this.#session = session;
    this.#trunk = trunk;
    this.reserve(expectedPatches);
  }

  get patches(): number {
    return this.#patches;
  }

  /** How often it has been cleared: a copy taken before is a copy of something else. */
  get clears(): number {
    return this.#clears;
  }

  /** For a run of this text alone: float32 [1, kvHeads, capacity, headDim] each. */
  get feeds(): Feeds {
    return this.#feeds;
  }

  /** Makes room for `patches` in all. */
  reserve(patches: number): void {
    if (bucketFor(patches) <= this.#capacity) return;
    const { layers, kvHeads, headDim } = this.#trunk;
    const capacity = bucketFor(patches);
    const buffers = Array.from({ length: 2 * layers }, () => new Float32Array(kvHeads * capacity * headDim));
    this.copyTo(buffers, { row: 0, capacity, from: 0 });
    this.#buffers = buffers;
    this.#capacity = capacity;
    this.#feeds = cacheFeeds(this.#session, buffers, [1, kvHeads, capacity, headDim]);
  }

  /** Appends the rows of `newkv`: float32 [patches, layers x 2 x kvHeads x headDim]. */
  append(newkv: Float32Array): void {
    const { layers, kvHeads, headDim } = this.#trunk;
    const patches = newkv.length / (2 * layers * kvHeads * headDim);
    this.reserve(this.#patches + patches);
    let from = 0;
    for (let row = this.#patches; row < this.#patches + patches; row += 1) {
      for (const buffer of this.#buffers) {
        for (let head = 0; head < kvHeads; head += 1) {
          buffer.set(newkv.subarray(from, from + headDim), (head * this.#capacity + row) * headDim);
          from += headDim;
        }
      }
    }
    this.#patches += patches;
  }

  /** Forgets everything: the window moved, and positions start again. */
  clear(): void {
    this.#patches = 0;
    this.#clears += 1;
  }

  /** Copies its patches `from` on into a row of other buffers, each [rows, kvHeads, capacity, headDim]. */
  copyTo(buffers: readonly Float32Array[], { row, capacity, from }: { readonly row: number; readonly capacity: number; readonly from: number }): void {
    const { kvHeads, headDim } = this.#trunk;
    for (const [index, own] of this.#buffers.entries()) {
      for (let head = 0; head < kvHeads; head += 1) {
        const start = head * this.#capacity;
        const held = own.subarray((start + from) * headDim, (start + this.#patches) * headDim);
        buffers[index]!.set(held, ((row * kvHeads + head) * capacity + from) * headDim);
      }
    }
  }
}
