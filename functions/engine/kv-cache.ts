/**
 * The keys and values of the patches read so far, in buffers the host owns. The graph takes them as inputs and returns only the
 * new rows ("delta KV"): returning the whole cache would copy it at every run.
 *
 * @module
 */
import type { Session, Tensor } from './session.js';

/** Buffers grow in steps of this many patches, so that a short text does not pay for the whole context. */
const BUCKET = 128;

export interface TrunkShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

export class KvCache {
  /** The graph's `pk0, pv0, pk1, …` inputs: float32 [1, kvHeads, capacity, headDim]; rows from `patches` on are not read. */
  readonly feeds: Record<string, Tensor> = {};
  readonly #session: Session;
  readonly #trunk: TrunkShape;
  /** In the order of the graph's `newkv` output: layer by layer, keys then values. */
  #buffers: Float32Array[] = [];
  #capacity = 0;
  #patches = 0;

  constructor(session: Session, trunk: TrunkShape, expectedPatches: number) {
    this.#session = session;
    this.#trunk = trunk;
    this.reserve(Math.max(1, expectedPatches));
  }

  get patches(): number {
    return this.#patches;
  }

  /** Makes room for `patches` in all. */
  reserve(patches: number): void {
    if (patches <= this.#capacity) return;
    const { layers, kvHeads, headDim } = this.#trunk;
    const capacity = Math.ceil(patches / BUCKET) * BUCKET;
    const held = this.#patches * headDim;
    this.#buffers = Array.from({ length: 2 * layers }, (_, index) => {
      const grown = new Float32Array(kvHeads * capacity * headDim);
      const old = this.#buffers[index] ?? new Float32Array();
      for (let head = 0; head < kvHeads; head += 1) {
        const from = head * this.#capacity * headDim;
        grown.set(old.subarray(from, from + held), head * capacity * headDim);
      }
      return grown;
    });
    this.#capacity = capacity;
    for (const [index, buffer] of this.#buffers.entries()) {
      const name = `${index % 2 === 0 ? 'pk' : 'pv'}${index >> 1}`;
      this.feeds[name] = this.#session.tensor('float32', buffer, [1, kvHeads, capacity, headDim]);
    }
  }

  /** Appends `patches` rows of `newkv`: float32 [patches, layers x 2 x kvHeads x headDim]. */
  append(newkv: Float32Array, patches: number): void {
    this.reserve(this.#patches + patches);
    const { kvHeads, headDim } = this.#trunk;
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
  }
}
