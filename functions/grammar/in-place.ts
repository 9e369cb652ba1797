/**
 * Compiles grammars where it is asked to, for a runtime that has no other thread: tens of milliseconds for the largest that is allowed.
 *
 * @module
 */
import type { LRUCache } from 'lru-cache';
import type { ByteAutomaton } from './automaton.js';
import { GrammarTooLargeError } from './errors.js';
import { automatonCache } from './automaton-cache.js';
import { compileGrammar, type GrammarCompiler, type GrammarSource, keyOf } from './grammars.js';

/** Of a source as JSON. Less than a thread is given: whoever else is served here waits meanwhile. */
const MOST_SOURCE = 16_384;
/** An isolate has 128 MiB for all it holds. */
const CACHE_BYTES = 8 * 2 ** 20;

export class GrammarsInPlace implements GrammarCompiler {
  readonly #compiled: LRUCache<string, ByteAutomaton> = automatonCache(CACHE_BYTES);

  async compile(source: GrammarSource): Promise<ByteAutomaton> {
    const key = keyOf(source, MOST_SOURCE);
    if (key === undefined) throw new GrammarTooLargeError('it is too large, or nests too deep');
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const automaton = compileGrammar(source);
    this.#compiled.set(key, automaton);
    return automaton;
  }
}
