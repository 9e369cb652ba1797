/**
 * Compiles grammars in a thread of its own, which starts with the first of them.
 *
 * @module
 */
import { Worker } from 'node:worker_threads';
import type { ByteAutomaton } from './automaton.js';
import { GrammarError, GrammarTooLargeError } from './errors.js';
import type { GrammarCompiler, GrammarSource } from './grammars.js';

export interface ToCompile {
  readonly id: number;
  readonly source: GrammarSource;
}

/** The tables are in shared memory: sending them copies nothing. */
export type Compiled = { readonly id: number } & ({ readonly automaton: ByteAutomaton } | { readonly refusal: string });

interface Waiting {
  readonly resolve: (automaton: ByteAutomaton) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Ten times what the largest grammar that is allowed takes: whatever takes longer is ended, and the thread with it. */
const LONGEST_MS = 5_000;

export class ThreadedGrammars implements GrammarCompiler {
  readonly #url: URL;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;

  /** @param url the built `grammar/thread.js` */
  constructor(url: URL) {
    this.#url = url;
  }

  compile(source: GrammarSource): Promise<ByteAutomaton> {
    const worker = (this.#worker ??= this.#start());
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => void worker.terminate(), LONGEST_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      worker.postMessage({ id, source } satisfies ToCompile);
    });
  }

  #start(): Worker {
    const worker = new Worker(this.#url);
    // A server that has nothing else to do may end.
    worker.unref();
    worker.on('message', (compiled: Compiled) => {
      if ('automaton' in compiled) this.#end(compiled.id)?.resolve(compiled.automaton);
      else this.#end(compiled.id)?.reject(new GrammarError(compiled.refusal));
    });
    let failure: Error = new GrammarTooLargeError('it takes too long to compile');
    worker.on('error', (error: Error) => {
      failure = error;
    });
    worker.on('exit', () => {
      this.#worker = undefined;
      for (const id of this.#waiting.keys()) this.#end(id)?.reject(failure);
    });
    return worker;
  }

  #end(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    clearTimeout(waiting?.timer);
    this.#waiting.delete(id);
    return waiting;
  }
}
