/**
 * What a worker thread sends to the main thread. Each message wakes that thread, on the core where the runtime's second thread works on
 * the same run; a patch comes every 0.4 to 3 ms. So what follows a text's first patch is sent together, some ms' worth at a time.
 *
 * @module
 */
import type { FromWorker } from './messages.js';
import type { Piece } from './types.js';

/** A frame of a fast screen. What messages take of a patch is printed by `npm run bench -- decode --profile`: at 4 ms it was too much for 50M. */
const GATHER_MS = 8;

export class Outbox {
  readonly #post: (message: FromWorker) => void;
  /** Texts whose first piece has been sent, and the pieces that have not. */
  readonly #held = new Map<number, Piece[]>();
  #isTimed = false;

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  send(message: FromWorker): void {
    if (message.kind === 'text') this.#hold(message.id, message.pieces);
    else if (message.kind === 'finished' || message.kind === 'failed') this.#end(message.id);
    if (message.kind !== 'text') this.#post(message);
  }

  #hold(id: number, pieces: readonly Piece[]): void {
    const held = this.#held.get(id);
    if (held === undefined) {
      // What is said of the prompt is not what the reader waits for first.
      if (pieces.some(({ ofPrompt }) => ofPrompt === undefined)) this.#held.set(id, []);
      this.#post({ kind: 'text', id, pieces });
      return;
    }
    held.push(...pieces);
    if (this.#isTimed) return;
    this.#isTimed = true;
    setTimeout(() => this.#sendAll(), GATHER_MS);
  }

  #sendAll(): void {
    this.#isTimed = false;
    for (const id of this.#held.keys()) this.#sendHeld(id);
  }

  #sendHeld(id: number): void {
    const pieces = this.#held.get(id);
    if (pieces === undefined || pieces.length === 0) return;
    this.#held.set(id, []);
    this.#post({ kind: 'text', id, pieces });
  }

  /** Its text is whole before its end is told. */
  #end(id: number): void {
    this.#sendHeld(id);
    this.#held.delete(id);
  }
}
