/**
 * What something took of late.
 *
 * @module
 */

const RECENT = 16;
/** As a rank. */
export const MEDIAN = RECENT >> 1;

/** The last runs' times. Ranks, not a mean: one run in a thousand takes fifty times as long, and says nothing about the next. */
export class RecentMs {
  readonly #runs: Float64Array;
  /** The same, ascending: they are asked for more often than they change. */
  #sorted: Float64Array;
  #next = 0;

  constructor(firstGuessMs: number) {
    this.#runs = new Float64Array(RECENT).fill(firstGuessMs);
    this.#sorted = this.#runs;
  }

  /** `rank` 0 is the slowest. */
  slowest(rank: number): number {
    return this.#sorted[RECENT - 1 - rank] as number;
  }

  get median(): number {
    return this.slowest(MEDIAN);
  }

  observe(ms: number): void {
    this.#runs[this.#next] = ms;
    this.#next = (this.#next + 1) % RECENT;
    this.#sorted = this.#runs.toSorted();
  }

  halve(): void {
    for (let index = 0; index < RECENT; index += 1) this.#runs[index]! /= 2;
    this.#sorted = this.#runs.toSorted();
  }
}
