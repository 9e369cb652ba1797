/**
 * How often a text and its prompt have each byte: what penalties are taken from.
 *
 * @module
 */
import { VOCABULARY } from './patch.js';

/** Of one row: float32 [2, VOCABULARY]. */
export const SEEN_LENGTH = 2 * VOCABULARY;
const BYTES = 256;

export class SeenBytes {
  readonly #counts = new Float32Array(SEEN_LENGTH);

  constructor(prompt: Iterable<number>) {
    count(prompt, this.#counts.subarray(VOCABULARY));
  }

  /** Decoded ids have become text. */
  write(ids: Iterable<number>): void {
    count(ids, this.#counts);
  }

  /**
   * The graph's `seen` input for one row: the text so far with what `forced` adds to it, and the prompt. The graph counts what it chooses
   * itself, and not what is forced upon it.
   */
  countsWith(forced: readonly number[]): Float32Array {
    if (forced.length === 0) return this.#counts;
    const counts = this.#counts.slice();
    count(forced, counts);
    return counts;
  }
}

/** Marks of turns and the like are not counted. */
function count(ids: Iterable<number>, into: Float32Array): void {
  for (const id of ids) if (id < BYTES) into[id]! += 1;
}
