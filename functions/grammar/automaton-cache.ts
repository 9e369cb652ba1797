import { LRUCache } from 'lru-cache';
import { type ByteAutomaton, sizeInBytes } from './automaton.js';

const CACHE_BYTES = 64 * 2 ** 20;

/** Those compiled last, by their sources. */
export function automatonCache(): LRUCache<string, ByteAutomaton> {
  return new LRUCache({ maxSize: CACHE_BYTES, sizeCalculation: (automaton, source) => sizeInBytes(automaton) + 2 * source.length });
}
