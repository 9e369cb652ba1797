/**
 * A generation as the main thread sees it: bytes arrive from a worker, a reader takes them in order.
 *
 * @module
 */
import type { GenerationOutcome } from './generate.js';

export class GenerationCall {
  readonly #arrived: Uint8Array[] = [];
  #end: GenerationOutcome | Error | undefined;
  #wake: (() => void) | undefined;

  push(bytes: Uint8Array): void {
    this.#arrived.push(bytes);
    this.#wake?.();
  }

  finish(end: GenerationOutcome | Error): void {
    this.#end ??= end;
    this.#wake?.();
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** One reader only. @throws what the call was finished with, after all bytes that came before it. */
  async *read(): AsyncGenerator<Uint8Array, GenerationOutcome, void> {
    for (;;) {
      const bytes = this.#arrived.shift();
      if (bytes !== undefined) {
        yield bytes;
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
