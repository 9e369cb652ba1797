/**
 * How long the next run of a tier will take on this worker: what decides whether one more patch still fits before a deadline.
 *
 * @module
 */
import { MEDIAN, RecentMs } from './recent-ms.js';

/** Of the recent runs, the two slowest are taken for accidents (a scheduler's hiccup, a neighbour) and forgiven. */
const FORGIVEN = 2;
/** Shorter prefills measure the run's fixed cost rather than a patch's. No tier reads fewer in a chunk. */
const MEASURABLE_PATCHES = 8;

export interface PaceSeed {
  readonly prefillPatchMs: number;
  readonly decodePatchMs: number;
}

/** One run as it went. */
export interface PacedRun {
  /** That shared it; more than one each read and decode a patch. */
  readonly texts: number;
  /** Read of each. */
  readonly patches: number;
  /** After so many of these what follows was scored; after none if absent. */
  readonly scored?: number;
  readonly decodes: boolean;
  readonly ms: number;
}

/** What one more text adds to a decode run, as a share of one alone: 0.3 to 0.45 at 50M and 100M, one thread. */
const FURTHER_TEXT = 0.4;
/** What scoring what follows a patch adds to reading it, likewise: 0.27 at 10M, less than 0.1 at 50M and 100M. */
const SCORED_PATCH = 0.3;

export class Pace {
  readonly #prefillPatch: RecentMs;
  readonly #decodePatch: RecentMs;
  /** Runs grow by the same for every text beyond the first: 2.3, 3.0, 5.3, 8.7, 15.7 ms for 1, 2, 4, 8, 16 of them at 50M. */
  readonly #furtherText: RecentMs;
  readonly #scoredPatch: RecentMs;

  constructor(seed: PaceSeed) {
    this.#prefillPatch = new RecentMs(seed.prefillPatchMs);
    this.#decodePatch = new RecentMs(seed.decodePatchMs);
    this.#furtherText = new RecentMs(seed.decodePatchMs * FURTHER_TEXT);
    this.#scoredPatch = new RecentMs(seed.decodePatchMs * SCORED_PATCH);
  }

  /** What reading `patches`, scoring so many of what follows them and writing the next takes as often as not. */
  likelyMs(patches: number, scored = 0): number {
    return this.#estimate(patches, MEDIAN) + scored * this.#scoredPatch.slowest(MEDIAN);
  }

  /** What it hardly ever exceeds. */
  cautiousMs(patches: number): number {
    return this.#estimate(patches, FORGIVEN);
  }

  /** What a run in which so many texts decode a patch each takes as often as not. */
  likelySharedMs(texts: number): number {
    return this.#shared(texts, MEDIAN);
  }

  /** What it hardly ever exceeds. */
  cautiousSharedMs(texts: number): number {
    return this.#shared(texts, FORGIVEN);
  }

  /** Learns from a run. Returns what it would have taken for one text alone. */
  observe({ texts, patches, scored = 0, decodes, ms }: PacedRun): number {
    if (scored > 0) {
      const unscoredMs = patches * this.#prefillPatch.slowest(MEDIAN) + (decodes ? this.#decodePatch.slowest(MEDIAN) : 0);
      if (patches >= MEASURABLE_PATCHES) this.#scoredPatch.observe(Math.max(0, ms - unscoredMs) / scored);
      return ms;
    }
    if (texts > 1) {
      this.#furtherText.observe(Math.max(0, ms - this.likelyMs(1)) / (texts - 1));
      const sharedMs = this.likelySharedMs(texts);
      return sharedMs > 0 ? (ms * this.likelyMs(1)) / sharedMs : ms;
    }
    if (decodes && patches === 1) this.#decodePatch.observe(ms);
    if (patches >= MEASURABLE_PATCHES) {
      const decodeMs = decodes ? this.#decodePatch.slowest(MEDIAN) : 0;
      this.#prefillPatch.observe(Math.max(0, ms - decodeMs) / patches);
    }
    return ms;
  }

  /** A text was not begun because of the estimate. Were it wrong, no run would ever correct it: so it must yield by itself. */
  doubt(): void {
    this.#prefillPatch.halve();
    this.#decodePatch.halve();
    this.#furtherText.halve();
    this.#scoredPatch.halve();
  }

  #shared(texts: number, rank: number): number {
    return this.#decodePatch.slowest(rank) + (texts - 1) * this.#furtherText.slowest(rank);
  }

  /** Decoding a patch includes reading the one before it. */
  #estimate(patches: number, rank: number): number {
    return (patches - 1) * this.#prefillPatch.slowest(rank) + this.#decodePatch.slowest(rank);
  }
}
