/**
 * What a worker thread sends to the main thread. Each message wakes that thread, on the core where the runtime's second thread works on
 * the same run; a patch comes every 0.4 to 3 ms. So what follows a text's first patch is sent together, some ms' worth at a time.
 *
 * @module
 */
import type { FromWorker } from './messages.js';

/** A frame of a fast screen. What messages take of a patch is printed by `npm run bench -- decode --profile`: at 4 ms it was too much for 50M. */
const GATHER_MS = 8;

export class Outbox {
  readonly #post: (message: FromWorker) => void;
  /** Texts whose first patch has been sent, and the patches that have not. */
  readonly #held = new Map<number, Uint8Array[]>();
  #isTimed = false;

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  send(message: FromWorker): void {
    if (message.kind === 'bytes') this.#hold(message.id, message.patches);
    else if (message.kind === 'finished' || message.kind === 'failed') this.#end(message.id);
    if (message.kind !== 'bytes') this.#post(message);
  }

  #hold(id: number, patches: readonly Uint8Array[]): void {
    const held = this.#held.get(id);
    if (held === undefined) {
      this.#held.set(id, []);
      this.#post({ kind: 'bytes', id, patches });
      return;
    }
    held.push(...patches);
    if (this.#isTimed) return;
    this.#isTimed = true;
    setTimeout(() => this.#sendAll(), GATHER_MS);
  }

  #sendAll(): void {
    this.#isTimed = false;
    for (const id of this.#held.keys()) this.#sendHeld(id);
  }

  #sendHeld(id: number): void {
    const patches = this.#held.get(id);
    if (patches === undefined || patches.length === 0) return;
    this.#held.set(id, []);
    this.#post({ kind: 'bytes', id, patches });
  }

  /** Its text is whole before its end is told. */
  #end(id: number): void {
    this.#sendHeld(id);
    this.#held.delete(id);
  }
}
