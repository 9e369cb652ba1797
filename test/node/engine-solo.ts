import { Generation, type GenerationOutcome, type GenerationParts } from '../../functions/engine/generate.js';
import { prefixCache } from '../../functions/engine/prefix-cache.js';
import { Runner } from '../../functions/engine/runner.js';
import type { GenerateOptions, Piece } from '../../functions/engine/types.js';

type SoloParts = Omit<GenerationParts, 'prefixes'> & Partial<GenerationParts>;

/** A text that has all runs to itself, and unless it is given one a prefix cache that nobody else has filled. */
export class Solo {
  readonly generation: Generation;
  readonly #runner: Runner;

  constructor(parts: SoloParts, options: GenerateOptions & { readonly seed: number }) {
    this.generation = new Generation({ prefixes: prefixCache(0), ...parts }, options);
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
    return Uint8Array.from((await this.stepPieces()).flatMap(({ bytes }) => Array.from(bytes)));
  }

  async stepPieces(): Promise<Piece[]> {
    await this.#runner.run([this.generation]);
    return this.generation.takePieces();
  }
}
