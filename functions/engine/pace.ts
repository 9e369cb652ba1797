/**
 * How long the next run of a tier will take on this worker: what decides whether one more patch still fits before a deadline.
 *
 * @module
 */

const RECENT = 16;
const MEDIAN = RECENT >> 1;
/** Of the recent runs, the two slowest are taken for accidents (a scheduler's hiccup, a neighbour) and forgiven. */
const FORGIVEN = 2;
/** Shorter prefills measure the run's fixed cost rather than a patch's. */
const MEASURABLE_PATCHES = 16;

/** The last runs' times. Ranks, not a mean: one run in a thousand takes fifty times as long, and says nothing about the next. */
class RecentMs {
  readonly #runs: Float64Array;
  #next = 0;

  constructor(firstGuessMs: number) {
    this.#runs = new Float64Array(RECENT).fill(firstGuessMs);
  }

  /** `rank` 0 is the slowest. */
  slowest(rank: number): number {
    return this.#runs.toSorted()[RECENT - 1 - rank] as number;
  }

  observe(ms: number): void {
    this.#runs[this.#next] = ms;
    this.#next = (this.#next + 1) % RECENT;
  }

  halve(): void {
    for (let index = 0; index < RECENT; index += 1) this.#runs[index]! /= 2;
  }
}

export interface PaceSeed {
  readonly prefillPatchMs: number;
  readonly decodePatchMs: number;
}

export class Pace {
  readonly #prefillPatch: RecentMs;
  readonly #decodePatch: RecentMs;

  constructor(seed: PaceSeed) {
    this.#prefillPatch = new RecentMs(seed.prefillPatchMs);
    this.#decodePatch = new RecentMs(seed.decodePatchMs);
  }

  /** What reading `patches` and writing the next takes as often as not. */
  likelyMs(patches: number): number {
    return this.#estimate(patches, MEDIAN);
  }

  /** What it hardly ever exceeds. */
  cautiousMs(patches: number): number {
    return this.#estimate(patches, FORGIVEN);
  }

  /** A run has read `patches` and, if it `decodes`, written one more. */
  observe(patches: number, decodes: boolean, ms: number): void {
    if (decodes && patches === 1) this.#decodePatch.observe(ms);
    if (patches < MEASURABLE_PATCHES) return;
    const decodeMs = decodes ? this.#decodePatch.slowest(MEDIAN) : 0;
    this.#prefillPatch.observe(Math.max(0, ms - decodeMs) / patches);
  }

  /** A text was not begun because of the estimate. Were it wrong, no run would ever correct it: so it must yield by itself. */
  doubt(): void {
    this.#prefillPatch.halve();
    this.#decodePatch.halve();
  }

  /** Decoding a patch includes reading the one before it. */
  #estimate(patches: number, rank: number): number {
    return (patches - 1) * this.#prefillPatch.slowest(rank) + this.#decodePatch.slowest(rank);
  }
}
