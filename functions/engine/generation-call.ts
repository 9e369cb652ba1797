/**
 * A generation as the main thread sees it: text arrives from a worker, a reader takes it in order.
 *
 * @module
 */
import type { GenerationOutcome } from './generate.js';
import type { Piece } from './types.js';

export class GenerationCall {
  readonly #arrived: Piece[] = [];
  #end: GenerationOutcome | Error | undefined;
  #wake: (() => void) | undefined;

  push(piece: Piece): void {
    this.#arrived.push(piece);
    this.#wake?.();
  }

  finish(end: GenerationOutcome | Error): void {
    this.#end ??= end;
    this.#wake?.();
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** One reader only. @throws what the call was finished with, after all text that came before it. */
  async *read(): AsyncGenerator<Piece, GenerationOutcome, void> {
    for (;;) {
      const piece = this.#arrived.shift();
      if (piece !== undefined) {
        yield piece;
      } else if (this.#end instanceof Error) {
        throw this.#end;
      } else if (this.#end !== undefined) {
        return this.#end;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
