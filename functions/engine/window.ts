/**
 * The patches a model may look back on, as the graph reads them.
 *
 * @module
 */
import { PATCH_CAP, SPECIAL, type PromptPatches } from './patch.js';

/** How many of `patches`, the newest, a context keeps: all while they fit, otherwise half of what it holds, so that the text has room to grow. */
export function keptPatches(patches: number, contextPatches: number): number {
  return patches <= contextPatches ? patches : Math.max(1, contextPatches >> 1);
}

export class PatchWindow {
  /** int32 [1 + patches, PATCH_CAP]: the patch before the window (all padding at the start of a text), then the window. */
  readonly #rows: Int32Array;
  readonly #contextPatches: number;
  #patches = 0;
  #truncated = false;

  /** Of a prompt that is longer it holds the end. */
  constructor(contextPatches: number, prompt: PromptPatches) {
    this.#contextPatches = contextPatches;
    // One more than the context: a decoded patch enters before the window slides.
    this.#rows = new Int32Array((contextPatches + 2) * PATCH_CAP).fill(SPECIAL.pad);
    const kept = keptPatches(prompt.patches, contextPatches);
    this.look(prompt, { start: prompt.patches - kept, end: prompt.patches });
  }

  /** Holds these patches of a prompt, at most as many as the context, and nothing else. */
  look({ rows }: PromptPatches, { start, end }: { readonly start: number; readonly end: number }): void {
    this.#rows.fill(SPECIAL.pad);
    this.#patches = end - start;
    if (start === 0) this.#rows.set(rows.subarray(0, end * PATCH_CAP), PATCH_CAP);
    else this.#rows.set(rows.subarray((start - 1) * PATCH_CAP, end * PATCH_CAP));
    this.#truncated ||= start > 0;
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
   * Forgets the older half of an overfull window. Positions start again, so all that is kept must be read again; halving makes that rare: one
   * re-reading of half a context for every half context of text.
   */
  slide(): void {
    const kept = keptPatches(this.#patches, this.#contextPatches);
    this.#rows.copyWithin(0, (this.#patches - kept) * PATCH_CAP, (this.#patches + 1) * PATCH_CAP);
    this.#rows.fill(SPECIAL.pad, (kept + 1) * PATCH_CAP);
    this.#patches = kept;
    this.#truncated = true;
  }

  /** The graph's `ids` input for `count` patches from `from` on: int32 [count + 1, PATCH_CAP], the patch before them first. */
  read(from: number, count: number): Int32Array {
    return this.#rows.subarray(from * PATCH_CAP, (from + count + 1) * PATCH_CAP);
  }
}
