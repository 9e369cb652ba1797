/**
 * The patches a model may look back on, as the graph reads them.
 *
 * @module
 */
import { PATCH_CAP, SPECIAL, type PromptPatches } from './patch.js';

export class PatchWindow {
  /** int32 [1 + patches, PATCH_CAP]: the patch before the window (all padding at the start of a text), then the window. */
  readonly #rows: Int32Array;
  readonly #contextPatches: number;
  #patches = 0;
  #truncated = false;

  constructor(contextPatches: number, prompt: PromptPatches) {
    this.#contextPatches = contextPatches;
    // One more than the context: a decoded patch enters before the window slides.
    this.#rows = new Int32Array((contextPatches + 2) * PATCH_CAP).fill(SPECIAL.pad);
    if (prompt.patches <= contextPatches) {
      this.#rows.set(prompt.rows, PATCH_CAP);
      this.#patches = prompt.patches;
    } else {
      const kept = this.#kept;
      this.#rows.set(prompt.rows.subarray((prompt.patches - kept - 1) * PATCH_CAP));
      this.#patches = kept;
      this.#truncated = true;
    }
  }

  get patches(): number {
    return this.#patches;
  }

  /** Something was forgotten because the text outgrew the context. */
  get truncated(): boolean {
    return this.#truncated;
  }

  get overfull(): boolean {
    return this.#patches > this.#contextPatches;
  }

  push(ids: ArrayLike<number>): void {
    this.#patches += 1;
    this.#rows.set(ids, this.#patches * PATCH_CAP);
  }

  /**
   * Forgets the older half. Positions start again, so all that is kept must be read again; halving makes that rare: one
   * re-reading of half a context for every half context of text.
   */
  slide(): void {
    this.#rows.copyWithin(0, (this.#patches - this.#kept) * PATCH_CAP, (this.#patches + 1) * PATCH_CAP);
    this.#rows.fill(SPECIAL.pad, (this.#kept + 1) * PATCH_CAP);
    this.#patches = this.#kept;
    this.#truncated = true;
  }

  /** The graph's `ids` input for `count` patches from `from` on: int32 [count + 1, PATCH_CAP], the patch before them first. */
  read(from: number, count: number): Int32Array {
    return this.#rows.subarray(from * PATCH_CAP, (from + count + 1) * PATCH_CAP);
  }

  get #kept(): number {
    return Math.max(1, this.#contextPatches >> 1);
  }
}
