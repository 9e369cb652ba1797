/**
 * Entry of the thread that compiles grammars: one may take a tenth of a second, which no other request should wait.
 *
 * @module
 */
import { parentPort } from 'node:worker_threads';
import { GrammarError } from './errors.js';
import { Grammars } from './grammars.js';
import type { Compiled, ToCompile } from './threaded.js';

const grammars = new Grammars();

function compile({ id, source }: ToCompile): Compiled {
  try {
    return { id, automaton: grammars.compile(source) };
  } catch (error) {
    if (error instanceof GrammarError) return { id, refusal: error.message };
    throw error;
  }
}

parentPort?.on('message', (message: ToCompile) => parentPort?.postMessage(compile(message)));
