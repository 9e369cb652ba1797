import { Generation, type GenerationOutcome, type GenerationParts } from '../../functions/engine/generate.js';
import { Runner } from '../../functions/engine/runner.js';
import type { GenerateOptions } from '../../functions/engine/types.js';

/** A text that has all runs to itself. */
export class Solo {
  readonly generation: Generation;
  readonly #runner: Runner;

  constructor(parts: GenerationParts, options: GenerateOptions & { readonly seed: number }) {
    this.generation = new Generation(parts, options);
    this.#runner = new Runner({ ...parts, trunk: parts.shape.trunk });
  }

  get outcome(): GenerationOutcome | undefined {
    return this.generation.outcome;
  }

  cancel(): void {
    this.generation.cancel();
  }

  /** At most one run, and the bytes that it made certain. */
  async step(): Promise<Uint8Array> {
    await this.#runner.run([this.generation]);
    return this.generation.takeBytes();
  }
}
