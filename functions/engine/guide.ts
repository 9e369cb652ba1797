/**
 * Keeps a text inside a grammar. What the first byte of a patch may be is known before it is decoded; of the others only what any text
 * may have there. So a patch is decoded with as much forbidden as is known, and taken as far as it followed the grammar: the next run
 * decodes it anew from there. A text that is almost decided, as JSON by its schema, takes few runs more.
 *
 * @module
 */
import { type ByteAutomaton, isOver, isWhole, REFUSED, step } from '../grammar/automaton.js';
import { PATCH_CAP, SPECIAL, VOCABULARY } from './patch.js';
import type { PatchNoise } from './sample.js';

/** Beyond as many states at once a byte further on could be anything. */
const MOST_STATES = 64;
const BYTES = 256;

export class Guide {
  readonly #automaton: ByteAutomaton;
  /** After all patches taken. */
  #state = 0;
  #leftBytes: number;
  /** What of the patch under way followed the grammar. */
  #kept: readonly number[] = [];
  /** The last run chose what it must not, though it was forbidden: the nucleus had nothing else in it. */
  #insists = false;

  constructor(automaton: ByteAutomaton, maxBytes: number) {
    this.#automaton = automaton;
    this.#leftBytes = maxBytes;
  }

  /** Ids that the next patch has to begin with. */
  get kept(): readonly number[] {
    return this.#kept;
  }

  /** The text is one of the grammar's, and cannot go on. */
  get over(): boolean {
    return isOver(this.#automaton, this.#state);
  }

  get whole(): boolean {
    return isWhole(this.#automaton, this.#state);
  }

  /** Forbids in `noise`, from the turn `from` on, what cannot come there. */
  restrict(noise: PatchNoise, from: number): void {
    let states: ReadonlySet<number> = new Set([this.#follow(this.#kept)]);
    let leftBytes = this.#leftBytes - this.#kept.length;
    for (let turn = from; turn < PATCH_CAP && states.size > 0 && states.size <= MOST_STATES; turn += 1) {
      const allowed = new Uint8Array(VOCABULARY);
      const next = new Set<number>();
      for (const state of states) {
        if (isWhole(this.#automaton, state)) allowed[SPECIAL.eod] = allowed[SPECIAL.end_of_turn] = 1;
        for (let byte = 0; byte < BYTES; byte += 1) {
          const after = this.#after(state, byte, leftBytes);
          if (after === REFUSED) continue;
          allowed[byte] = 1;
          next.add(after);
        }
      }
      noise.restrict(turn, allowed, this.#insists);
      states = next;
      leftBytes -= 1;
    }
  }

  /**
   * Whether a decoded patch, without what was forced on it, follows the grammar to its end. If not, what of it does is kept for the
   * next run.
   */
  accepts(ids: Int32Array): boolean {
    let state = this.#state;
    for (const [index, id] of ids.entries()) {
      const after = id < BYTES ? this.#after(state, id, this.#leftBytes - index) : REFUSED;
      if (after === REFUSED && !(isEnd(id) && isWhole(this.#automaton, state))) {
        this.#insists = index === this.#kept.length;
        this.#kept = [...ids.subarray(0, index)];
        return false;
      }
      // At an end the patch ends too.
      state = after === REFUSED ? state : after;
    }
    this.#insists = false;
    this.#kept = [];
    return true;
  }

  /** A byte of an accepted patch has become text. */
  take(byte: number): void {
    this.#state = step(this.#automaton, this.#state, byte);
    this.#leftBytes -= 1;
  }

  #follow(bytes: readonly number[]): number {
    return bytes.reduce((state, byte) => step(this.#automaton, state, byte), this.#state);
  }

  /** Only where there is still room to come to an end. */
  #after(state: number, byte: number, leftBytes: number): number {
    const next = step(this.#automaton, state, byte);
    return next !== REFUSED && (this.#automaton.distance[next] as number) < leftBytes ? next : REFUSED;
  }
}

function isEnd(id: number): boolean {
  return id === SPECIAL.eod || id === SPECIAL.end_of_turn;
}
