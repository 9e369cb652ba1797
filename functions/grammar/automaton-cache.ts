import { LRUCache } from 'lru-cache';
import { type ByteAutomaton, sizeInBytes } from './automaton.js';

const CACHE_BYTES = 64 * 2 ** 20;

/** Those compiled last, by their sources. */
export function automatonCache(mostBytes = CACHE_BYTES): LRUCache<string, ByteAutomaton> {
  return new LRUCache({ maxSize: mostBytes, sizeCalculation: (automaton, source) => sizeInBytes(automaton) + 2 * source.length });
}
