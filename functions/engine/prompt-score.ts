/**
 * How a prompt is scored: after each of its patches the next is known, and so is how probable it was. A prompt longer than the context
 * is read in windows, each half a context further on and scored in its newer half: every byte has at least half a context before it, or
 * all there is. It is how `model-core/stlm/evaluation/windows.py` cuts documents, so that both measure the same.
 *
 * @module
 */
import { PATCH_CAP, type PromptPatches, SPECIAL } from './patch.js';

/** Of a prompt's patches: those read in one window, and from where on what follows them is scored. */
export interface ScoreWindow {
  readonly start: number;
  readonly end: number;
  readonly scoredFrom: number;
}

export function firstWindow(patches: number, contextPatches: number): ScoreWindow {
  return { start: 0, end: Math.min(patches, contextPatches), scoredFrom: 0 };
}

/** Undefined: `window` was the last. */
export function nextWindow({ end }: ScoreWindow, patches: number, contextPatches: number): ScoreWindow | undefined {
  if (end >= patches) return undefined;
  const start = end - (contextPatches >> 1);
  return { start, end: Math.min(patches, start + contextPatches), scoredFrom: end };
}

/** Patches that are read to score what follows `patches` of a prompt: those that windows have in common more than once. */
export function patchesToScore(patches: number, contextPatches: number): number {
  const again = contextPatches >> 1;
  return patches + again * Math.ceil(Math.max(0, patches - contextPatches) / (contextPatches - again));
}

/** What is known to follow a prompt's patch: the whole next one, or after the last those bytes that begin one. */
export function followingIds({ rows, patches, unfinished }: PromptPatches, patch: number): Int32Array {
  if (patch + 1 === patches) return Int32Array.from(unfinished);
  const next = rows.subarray((patch + 1) * PATCH_CAP, (patch + 2) * PATCH_CAP);
  const end = next.indexOf(SPECIAL.pad);
  return end === -1 ? next : next.subarray(0, end);
}

/** A prompt that is being scored, window by window. */
export class PromptScore {
  readonly #prompt: PromptPatches;
  readonly #patches: number;
  readonly #contextPatches: number;
  #window: ScoreWindow;

  /** @param patches after which something is scored: all, or all but the last if nothing follows it. */
  constructor(prompt: PromptPatches, patches: number, contextPatches: number) {
    this.#prompt = prompt;
    this.#patches = patches;
    this.#contextPatches = contextPatches;
    this.#window = firstWindow(patches, contextPatches);
  }

  get window(): ScoreWindow {
    return this.#window;
  }

  /** Whether nothing is left to score once this window is read. */
  get isLastWindow(): boolean {
    return this.#window.end === this.#patches;
  }

  /** Still to be read, by this window and those after it, and still to be scored, when `read` patches of this one have been read. */
  left(read: number): { readonly unread: number; readonly unscored: number } {
    const { start, end, scoredFrom } = this.#window;
    const beyond = this.#patches - end;
    const again = patchesToScore(this.#contextPatches + beyond, this.#contextPatches) - this.#contextPatches - beyond;
    return { unread: end - start - read + beyond + again, unscored: this.#patches - Math.max(scoredFrom, start + read) };
  }

  /** What is known to follow the patches that a run reads, as far as it is to be scored. */
  targets(read: number, patches: number): Int32Array[] {
    const { start, scoredFrom } = this.#window;
    const end = start + read + patches;
    const first = Math.max(scoredFrom, start + read);
    return Array.from({ length: Math.max(0, end - first) }, (_, index) => followingIds(this.#prompt, first + index));
  }

  /** Goes on to the next window, which begins unread. */
  advance(): void {
    this.#window = nextWindow(this.#window, this.#patches, this.#contextPatches) ?? this.#window;
  }
}
