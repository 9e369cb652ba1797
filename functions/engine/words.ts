/**
 * Counts words: runs of the patch rule's word bytes (letters, digits, the apostrophe, all of a character that is not ASCII). One that the
 * prompt began counts as the first.
 *
 * @module
 */
import { isWordByte } from './patch.js';

export class WordCount {
  readonly #most: number;
  #words = 0;
  #inside = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** Words that may still come, the one under way among them. */
  get left(): number {
    return this.#most - this.#words + (this.#inside ? 1 : 0);
  }

  /** Whether the last word that may be is over with this byte, which then is not part of the text. */
  endsBefore(byte: number): boolean {
    const isWord = isWordByte(byte);
    if (this.#inside && !isWord && this.#words === this.#most) return true;
    if (isWord && !this.#inside) this.#words += 1;
    this.#inside = isWord;
    return false;
  }
}
