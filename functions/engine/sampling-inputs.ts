/**
 * The inputs of a run that say how each of its rows chooses what it decodes. Tensors are made once and rewritten in place.
 *
 * @module
 */
import { PATCH_CAP, VOCABULARY } from './patch.js';
import { IDLE_SAMPLER, SAMPLER_WIDTH } from './sampler.js';
import { SEEN_LENGTH } from './seen-bytes.js';
import type { Feeds, Session, Tensor } from './session.js';

/** Of one row. */
export interface SamplingRow {
  /** float32 [PATCH_CAP, VOCABULARY]; see `PatchNoise`. */
  readonly noise: Float32Array;
  /** See `samplerRow`. */
  readonly sampler: Float32Array;
  /** See `SeenBytes`; undefined: the row has no penalties. */
  readonly seen: Float32Array | undefined;
}

export class SamplingInputs {
  readonly #rows: number;
  readonly #noise: Float32Array;
  readonly #sampler: Float32Array;
  readonly #seen: Float32Array;
  readonly #lasting: Readonly<Record<'noise' | 'sampler', Tensor>>;
  /** For runs in which a row penalises, and for those in which none does: the graph then counts nothing. */
  readonly #counted: Tensor;
  readonly #uncounted: Tensor;

  constructor(session: Session, rows: number) {
    this.#rows = rows;
    this.#noise = new Float32Array(PATCH_CAP * rows * VOCABULARY);
    this.#sampler = new Float32Array(rows * SAMPLER_WIDTH);
    this.#seen = new Float32Array(rows * SEEN_LENGTH);
    this.#lasting = {
      noise: session.tensor('float32', this.#noise, [PATCH_CAP, rows, VOCABULARY]),
      sampler: session.tensor('float32', this.#sampler, [rows, SAMPLER_WIDTH]),
    };
    this.#counted = session.tensor('float32', this.#seen, [rows, 2, VOCABULARY]);
    this.#uncounted = session.tensor('float32', new Float32Array(), [0, 2, VOCABULARY]);
  }

  of(rows: readonly SamplingRow[]): Feeds {
    const filters = rows.some(({ sampler }) => sampler[0] !== 0);
    const counts = rows.some(({ seen }) => seen !== undefined);
    for (const [row, { noise, sampler, seen }] of rows.entries()) {
      for (let turn = 0; turn < PATCH_CAP; turn += 1) {
        this.#noise.set(noise.subarray(turn * VOCABULARY, (turn + 1) * VOCABULARY), (turn * this.#rows + row) * VOCABULARY);
      }
      this.#sampler.set(filters && sampler[0] === 0 ? IDLE_SAMPLER : sampler, row * SAMPLER_WIDTH);
      if (seen !== undefined) this.#seen.set(seen, row * SEEN_LENGTH);
      else if (counts) this.#seen.fill(0, row * SEEN_LENGTH, (row + 1) * SEEN_LENGTH);
    }
    return { ...this.#lasting, seen: counts ? this.#counted : this.#uncounted };
  }
}
