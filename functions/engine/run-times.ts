/**
 * What a text's runs took: those that read its prompt, the last of which also yields the first patch, and all later ones.
 *
 * @module
 */

export interface TimedRun {
  /** That shared it. */
  readonly texts: number;
  readonly ranMs: number;
  /** That it kept busy. */
  readonly threads: number;
  /** What it would have taken for this text alone. */
  readonly aloneMs: number;
}

export class RunTimes {
  #prefillMs = 0;
  #decodeRuns = 0;
  #decodeTexts = 0;
  #decodeMs = 0;
  #decodeAloneMs = 0;
  #coreMs = 0;

  add({ texts, ranMs, threads, aloneMs }: TimedRun, isPrefill: boolean): void {
    this.#coreMs += (ranMs * threads) / texts;
    if (isPrefill) {
      this.#prefillMs += ranMs;
      return;
    }
    this.#decodeRuns += 1;
    this.#decodeTexts += texts;
    this.#decodeMs += ranMs;
    this.#decodeAloneMs += aloneMs;
  }

  get summary() {
    return {
      meanBatch: this.#decodeRuns > 0 ? this.#decodeTexts / this.#decodeRuns : 1,
      prefillMs: this.#prefillMs,
      decodeMs: this.#decodeMs,
      decodeAloneMs: this.#decodeAloneMs,
      coreMs: this.#coreMs,
    };
  }
}
