/**
 * Entry of the thread that compiles grammars: one may take a tenth of a second, which no other request should wait.
 *
 * @module
 */
import { parentPort } from 'node:worker_threads';
import { GrammarError } from './errors.js';
import { compileGrammar, type GrammarSource } from './grammars.js';
import type { Compiled } from './threaded.js';

function compile(key: string): Compiled {
  try {
    return { automaton: compileGrammar(JSON.parse(key) as GrammarSource) };
  } catch (error) {
    if (error instanceof GrammarError) return { refusal: error.message };
    // Whatever else a source can provoke, a string beyond its limit or a stack beyond its own, it has provoked itself.
    if (error instanceof RangeError) return { refusal: 'it is too large, or nests too deep' };
    throw error;
  }
}

parentPort?.on('message', (key: string) => parentPort?.postMessage(compile(key)));
