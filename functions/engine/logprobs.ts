/**
 * How probable a text's bytes were to the model: log-softmax of its logits, at temperature 1 and before any filter, penalty, bias or
 * grammar. Read from a run's outputs and kept until the bytes they are of are certain to be text.
 *
 * @module
 */
import { VOCABULARY } from './patch.js';

/** Of `ids.length` ids in a row. */
export interface Logprobs {
  /** Bytes; the last one may be the mark that ended the text. */
  readonly ids: Uint16Array;
  readonly chosen: Float32Array;
  /** The likeliest ids and theirs, likeliest first: each [ids, top]. */
  readonly topIds: Uint16Array;
  readonly topLogprobs: Float32Array;
}

/** The outputs that tell them: of what was decoded alone, or of every id it might have been. */
export type LogprobOutput = 'lp' | 'logprobs';

export function outputFor(top: number): LogprobOutput {
  return top === 0 ? 'lp' : 'logprobs';
}

/** One row of a run's outputs. */
export class RowLogprobs {
  readonly #data: Float32Array;
  readonly #output: LogprobOutput;
  readonly #row: number;
  readonly #rows: number;

  /** @param data float32 [turns, rows] of `lp`, or [turns, rows, VOCABULARY] of `logprobs`. */
  constructor(data: Float32Array, output: LogprobOutput, row: number, rows: number) {
    this.#data = data;
    this.#output = output;
    this.#row = row;
    this.#rows = rows;
  }

  /** Of `id`, which was decoded at `turn`. */
  chosen(turn: number, id: number): number {
    const at = turn * this.#rows + this.#row;
    return this.#data[this.#output === 'lp' ? at : at * VOCABULARY + id] as number;
  }

  /** float32 [VOCABULARY]. */
  distribution(turn: number): Float32Array {
    const at = (turn * this.#rows + this.#row) * VOCABULARY;
    return this.#data.subarray(at, at + VOCABULARY);
  }
}

export class LogprobLog {
  readonly #top: number;
  readonly #ids: number[] = [];
  readonly #chosen: number[] = [];
  readonly #topIds: number[] = [];
  readonly #topLogprobs: number[] = [];

  constructor(top: number) {
    this.#top = top;
  }

  push(id: number, turn: number, row: RowLogprobs): void {
    this.#ids.push(id);
    this.#chosen.push(row.chosen(turn, id));
    if (this.#top === 0) return;
    const distribution = row.distribution(turn);
    for (const likely of likeliest(distribution, this.#top)) {
      this.#topIds.push(likely);
      this.#topLogprobs.push(distribution[likely] as number);
    }
  }

  /** Of the first `count` ids pushed, which are forgotten. */
  take(count: number): Logprobs {
    return {
      ids: Uint16Array.from(this.#ids.splice(0, count)),
      chosen: Float32Array.from(this.#chosen.splice(0, count)),
      topIds: Uint16Array.from(this.#topIds.splice(0, count * this.#top)),
      topLogprobs: Float32Array.from(this.#topLogprobs.splice(0, count * this.#top)),
    };
  }
}

/** Descending; of equals the lower id first. */
function likeliest(distribution: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let id = 0; id < distribution.length; id += 1) {
    const value = distribution[id] as number;
    if (best.length === count && value <= (distribution[best.at(-1) as number] as number)) continue;
    let at = best.length;
    while (at > 0 && (distribution[best[at - 1] as number] as number) < value) at -= 1;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  return best;
}
