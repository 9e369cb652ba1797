import { type ByteAutomaton, isOver, isWhole, REFUSED, step } from '../../../functions/grammar/automaton.js';

export const bytesOf = (text: string) => new TextEncoder().encode(text);

/** The state after `bytes`; `REFUSED` once one of them may not come. */
export function follow(automaton: ByteAutomaton, bytes: Uint8Array): number {
  return bytes.reduce((state, byte) => (state === REFUSED ? REFUSED : step(automaton, state, byte)), 0);
}

export function matches(automaton: ByteAutomaton, text: string): boolean {
  const state = follow(automaton, bytesOf(text));
  return state !== REFUSED && isWhole(automaton, state);
}

/** A text written blindly: at each step any byte that still leaves time for the end, as a model that knows nothing would. */
export function writeBlindly(automaton: ByteAutomaton, maxBytes: number, random: () => number): Uint8Array {
  const written: number[] = [];
  for (let state = 0; !isOver(automaton, state); ) {
    if (isWhole(automaton, state) && random() < 0.1) break;
    const leftBytes = maxBytes - written.length - 1;
    const possible = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => {
      const next = step(automaton, state, byte);
      return next !== REFUSED && automaton.distance[next]! <= leftBytes;
    });
    if (possible.length === 0) break;
    const byte = possible[Math.floor(random() * possible.length)]!;
    written.push(byte);
    state = step(automaton, state, byte);
  }
  return Uint8Array.from(written);
}
