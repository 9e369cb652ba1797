/**
 * What has been written of a text: which of the decoded ids are certain to be part of it, and when it is over.
 *
 * @module
 */
import type { Guide } from './guide.js';
import { LogprobLog, type RowLogprobs } from './logprobs.js';
import { isWordByte, SPECIAL } from './patch.js';
import { StopScanner } from './stop.js';
import type { GenerateOptions, Piece, StopCause } from './types.js';
import { WordCount } from './words.js';

export class WrittenText {
  readonly #maxBytes: number;
  readonly #scanner: StopScanner;
  readonly #words: WordCount | undefined;
  readonly #guide: Guide | undefined;
  readonly #logprobs: LogprobLog | undefined;
  /** Of the last patch, no longer held back but for what its end may yet take away. */
  #settling: number[] = [];
  #isMarked = false;
  #pieces: Piece[] = [];
  #generatedBytes = 0;
  #releasedBytes = 0;
  #toldIds = 0;
  #logprobSum = 0;

  constructor({ maxBytes, maxWords, stop, logprobs }: Pick<GenerateOptions, 'maxBytes' | 'maxWords' | 'stop' | 'logprobs'>, guide: Guide | undefined) {
    this.#maxBytes = maxBytes;
    this.#scanner = new StopScanner(stop);
    this.#words = maxWords === undefined ? undefined : new WordCount(maxWords);
    this.#guide = guide;
    this.#logprobs = logprobs === undefined ? undefined : new LogprobLog(logprobs);
  }

  get generatedBytes(): number {
    return this.#generatedBytes;
  }

  get releasedBytes(): number {
    return this.#releasedBytes;
  }

  /** Of what has been released, if it was asked for; -Infinity of nothing. */
  get meanLogprob(): number {
    return this.#toldIds > 0 ? this.#logprobSum / this.#toldIds : -Infinity;
  }

  /** How many bytes it may still have, and words; Infinity if they are not counted. */
  get left(): { readonly bytes: number; readonly words: number } {
    return { bytes: this.#maxBytes - this.#generatedBytes, words: this.#words?.left ?? Infinity };
  }

  /**
   * Takes the ids of a decoded patch from turn `from` on, as what stood before was no text. Returns why the text is over, if it is;
   * `settle` must follow.
   */
  take(ids: Int32Array, from: number, row: RowLogprobs | undefined): StopCause | undefined {
    for (let turn = from; turn < ids.length; turn += 1) {
      const id = ids[turn] as number;
      const isEnd = id === SPECIAL.eod || id === SPECIAL.end_of_turn;
      if (!isEnd && this.#words?.endsBefore(id) === true) return 'length';
      if (row !== undefined) this.#logprobs?.push(id, turn, row);
      this.#isMarked = isEnd;
      const cause = isEnd ? 'eod' : this.#write(id);
      if (cause !== undefined) return cause;
    }
    return undefined;
  }

  /** Releases what is certain; if the text has ended, all that is part of it. */
  settle(end?: StopCause): void {
    const bytes = this.#settling;
    this.#settling = [];
    if (end !== undefined) this.#scanner.flush(bytes);
    // A patch cut by its cap may end inside a word: the part that no run is left to complete is dropped.
    if (end === 'deadline' || end === 'context') bytes.length = wholeWordsLength(bytes);
    this.#releasedBytes += bytes.length;
    const logprobs = this.#logprobs?.take(bytes.length + (this.#isMarked ? 1 : 0));
    for (const logprob of logprobs?.chosen ?? []) this.#logprobSum += logprob;
    this.#toldIds += logprobs?.ids.length ?? 0;
    if (bytes.length === 0 && !(logprobs && this.#isMarked)) return;
    this.#pieces.push({ bytes: Uint8Array.from(bytes), ...(logprobs && { logprobs }) });
  }

  /** What has been released since it was last asked for. */
  takePieces(): Piece[] {
    return this.#pieces.splice(0);
  }

  #write(byte: number): StopCause | undefined {
    this.#generatedBytes += 1;
    this.#guide?.take(byte);
    if (this.#scanner.push(byte, this.#settling)) return 'stop';
    if (this.#guide?.over === true) return 'eod';
    if (this.#generatedBytes < this.#maxBytes) return undefined;
    return this.#guide?.whole === true ? 'eod' : 'length';
  }
}

/** How many of `bytes` are left when a word that does not end is cut off; all, if they are one long word. */
function wholeWordsLength(bytes: readonly number[]): number {
  const separator = bytes.findLastIndex((byte) => !isWordByte(byte));
  return separator === -1 ? bytes.length : separator + 1;
}
