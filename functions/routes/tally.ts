import type { GenerateResult } from '../engine/types.js';
import type { ChoiceEvent } from './choices.js';

/** What is known once every choice has ended; times are from the request's arrival. */
export interface Ended {
  /** By choice. */
  readonly results: readonly GenerateResult[];
  readonly firstByteMs: number;
  readonly actualMs: number;
}

/** Keeps count of the choices that have ended and of when text came. */
export class Tally {
  readonly #results: (GenerateResult | undefined)[];
  readonly #arrivalMs: number;
  readonly #nowMs: () => number;
  #firstByteMs: number | undefined;
  #left: number;
  #lastMs = 0;

  constructor(choices: number, arrivalMs: number, nowMs: () => number) {
    this.#results = Array.from({ length: choices });
    this.#left = choices;
    this.#arrivalMs = arrivalMs;
    this.#nowMs = nowMs;
  }

  note({ index, text, isEcho, result }: ChoiceEvent): void {
    this.#lastMs = this.#nowMs() - this.#arrivalMs;
    if (text !== '' && !isEcho) this.#firstByteMs ??= this.#lastMs;
    if (result === undefined) return;
    this.#results[index] = result;
    this.#left -= 1;
  }

  /** Undefined while a choice is still running. A request whose text is empty has its first byte when it ends. */
  ended(): Ended | undefined {
    if (this.#left > 0) return undefined;
    const results = this.#results.filter((result) => result !== undefined);
    return { results, firstByteMs: this.#firstByteMs ?? this.#lastMs, actualMs: this.#lastMs };
  }
}
