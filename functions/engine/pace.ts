/**
 * How long the next run of a tier will take on this worker: what decides whether one more patch still fits before a deadline.
 *
 * @module
 */

/** Weight of the newest observation: about the last ten runs count. */
const NEWEST = 0.2;

/** Exponentially weighted mean and mean absolute deviation, as TCP estimates its round trips (RFC 6298). */
class RunningMs {
  #mean: number;
  #deviation: number;

  constructor(firstGuessMs: number) {
    this.#mean = firstGuessMs;
    this.#deviation = firstGuessMs / 4;
  }

  get mean(): number {
    return this.#mean;
  }

  get upper(): number {
    return this.#mean + 2 * this.#deviation;
  }

  observe(ms: number): void {
    this.#deviation += NEWEST * (Math.abs(ms - this.#mean) - this.#deviation);
    this.#mean += NEWEST * (ms - this.#mean);
  }
}

export interface PaceSeed {
  readonly prefillPatchMs: number;
  readonly decodePatchMs: number;
}

/** A run reads `patches` and, if it `decodes`, writes one more. Reading one patch is part of what decoding the next costs. */
export class Pace {
  readonly #prefillPatch: RunningMs;
  readonly #decodePatch: RunningMs;

  constructor(seed: PaceSeed) {
    this.#prefillPatch = new RunningMs(seed.prefillPatchMs);
    this.#decodePatch = new RunningMs(seed.decodePatchMs);
  }

  /** Cautious: the mean and two deviations, since a text must not outlast its deadline. */
  estimateMs(patches: number, decodes: boolean): number {
    return decodes ? this.#decodePatch.upper + (patches - 1) * this.#prefillPatch.upper : patches * this.#prefillPatch.upper;
  }

  observe(patches: number, decodes: boolean, ms: number): void {
    if (!decodes) this.#prefillPatch.observe(ms / patches);
    else if (patches === 1) this.#decodePatch.observe(ms);
    else this.#prefillPatch.observe(Math.max(0, ms - this.#decodePatch.mean) / (patches - 1));
  }
}
