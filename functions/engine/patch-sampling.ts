/**
 * How the patches of one text are chosen: noise from its seed, filters and penalties as it asked, and what its form leaves.
 *
 * @module
 */
import type { Guide } from './guide.js';
import { PATCH_CAP } from './patch.js';
import { PatchNoise, SeededRandom } from './sample.js';
import { penalises, samplerRow } from './sampler.js';
import type { SamplingRow } from './sampling-inputs.js';
import { SeenBytes } from './seen-bytes.js';
import type { GenerateOptions } from './types.js';

export class PatchSampling {
  readonly #noise: PatchNoise;
  readonly #sampler: Float32Array;
  readonly #seen: SeenBytes | undefined;
  readonly #guide: Guide | undefined;
  /** Of the last patch; their noise is used up. */
  #spentTurns: number = PATCH_CAP;

  constructor(options: GenerateOptions & { readonly seed: number }, guide: Guide | undefined) {
    this.#noise = new PatchNoise(options, new SeededRandom(options.seed));
    this.#sampler = samplerRow(options);
    this.#seen = penalises(options) ? new SeenBytes(options.prompt) : undefined;
    this.#guide = guide;
  }

  /** For a run that decodes nothing, or the patch last prepared. */
  get row(): SamplingRow {
    return { noise: this.#noise.data, sampler: this.#sampler, seen: this.#seen?.countsWith(this.#guide?.kept ?? []) };
  }

  /** Prepares the next patch, which begins with those bytes of the prompt that no patch has yet. */
  prepare(unfinished: Uint8Array): void {
    if (this.#guide === undefined) {
      this.#noise.prepare(unfinished, this.#spentTurns);
      return;
    }
    const forced = [...unfinished, ...this.#guide.kept];
    this.#noise.prepare(forced);
    this.#guide.restrict(this.#noise, forced.length);
  }

  /** A decoded patch has been taken; what stands before turn `from` is no text. */
  take(ids: Int32Array, from: number): void {
    this.#spentTurns = ids.length;
    this.#seen?.write(ids.subarray(from));
  }
}
