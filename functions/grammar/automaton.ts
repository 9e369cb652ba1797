/**
 * Which bytes may come next, and how many are still needed: a deterministic automaton over bytes. Every state that it can be in
 * leads to an accepting one, so whoever follows it never gets stuck.
 *
 * @module
 */

/** As it crosses to a worker: numbers in shared memory, which no thread changes. */
export interface ByteAutomaton {
  /** uint8 [256]: bytes of one class are alike everywhere. */
  readonly classOfByte: Uint8Array;
  readonly classes: number;
  /** int32 [states, classes]: the next state; -1: the byte may not come. State 0 is the first. */
  readonly next: Int32Array;
  /** int32 [states]: bytes needed at least from here to the end of a whole text; 0: it may end here. */
  readonly distance: Int32Array;
}

/** The table is not empty, not even where no text fits. */
export const REFUSED = -1;

export function step({ classOfByte, classes, next }: ByteAutomaton, state: number, byte: number): number {
  return next[state * classes + (classOfByte[byte] as number)] as number;
}

/** Bytes of the shortest text that fits. */
export function shortest({ distance }: ByteAutomaton): number {
  return distance[0] as number;
}

export function isWhole({ distance }: ByteAutomaton, state: number): boolean {
  return distance[state] === 0;
}

/** Whether the text can only end here. */
export function isOver({ classes, next }: ByteAutomaton, state: number): boolean {
  for (let index = state * classes; index < (state + 1) * classes; index += 1) if (next[index] !== REFUSED) return false;
  return true;
}

export function sizeInBytes({ classOfByte, next, distance }: ByteAutomaton): number {
  return classOfByte.byteLength + next.byteLength + distance.byteLength;
}
