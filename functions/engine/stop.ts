/**
 * Stop strings over a stream of bytes. Which text comes out depends on the bytes alone, never on how they were grouped into
 * patches: the stop string completed first wins, and of several completed by the same byte the longest.
 *
 * @module
 */

/** One pattern's Knuth-Morris-Pratt automaton: how much of the pattern the stream's end now matches. */
class StopString {
  readonly #pattern: Uint8Array;
  readonly #fallback: Uint32Array;
  matched = 0;

  constructor(pattern: Uint8Array) {
    this.#pattern = pattern;
    this.#fallback = new Uint32Array(pattern.length);
    for (let index = 1, length = 0; index < pattern.length; index += 1) {
      while (length > 0 && pattern[index] !== pattern[length]) length = this.#fallback[length - 1] as number;
      if (pattern[index] === pattern[length]) length += 1;
      this.#fallback[index] = length;
    }
  }

  /** Whether `byte` completes the pattern. */
  push(byte: number): boolean {
    while (this.matched > 0 && this.#pattern[this.matched] !== byte) this.matched = this.#fallback[this.matched - 1] as number;
    if (this.#pattern[this.matched] === byte) this.matched += 1;
    return this.matched === this.#pattern.length;
  }
}

/** Holds back every byte that may yet turn out to begin a stop string. */
export class StopScanner {
  readonly #stops: readonly StopString[];
  #held: number[] = [];

  constructor(stops: readonly Uint8Array[]) {
    this.#stops = stops.filter((pattern) => pattern.length > 0).map((pattern) => new StopString(pattern));
  }

  /** Takes the next byte and appends to `released` what is now certain to be text. True: a stop string is complete, and gone. */
  push(byte: number, released: number[]): boolean {
    this.#held.push(byte);
    let completed = 0;
    let possible = 0;
    for (const stop of this.#stops) {
      if (stop.push(byte)) completed = Math.max(completed, stop.matched);
      possible = Math.max(possible, stop.matched);
    }
    const kept = completed > 0 ? completed : possible;
    released.push(...this.#held.splice(0, this.#held.length - kept));
    if (completed > 0) this.#held = [];
    return completed > 0;
  }

  /** The text ended for another reason: what was held back is text after all. */
  flush(released: number[]): void {
    released.push(...this.#held);
    this.#held = [];
  }
}
