/**
 * Compiles grammars in a thread of its own, which starts with the first of them, one after the other: what one takes too long for is
 * no fault of the next.
 *
 * @module
 */
import { Worker } from 'node:worker_threads';
import type { ByteAutomaton } from './automaton.js';
import { automatonCache } from './automaton-cache.js';
import { GrammarBusyError, GrammarError, GrammarTooLargeError } from './errors.js';
// Only types of what compiles: a server starts without it.
import { type GrammarCompiler, type GrammarSource, keyOf } from './grammars.js';

/** The tables are in shared memory: sending them copies nothing. */
export type Compiled = { readonly automaton: ByteAutomaton } | { readonly refusal: string };

interface Job {
  /** The source as JSON. */
  readonly key: string;
  readonly done: Promise<ByteAutomaton>;
  readonly resolve: (automaton: ByteAutomaton) => void;
  readonly reject: (error: Error) => void;
  /** Requests. */
  waiting: number;
}

/** Of a source as JSON; a schema of a hundred properties has about 10 kB. */
const MOST_SOURCE = 65_536;
/** Several times what the largest grammar that is allowed takes: whatever takes longer is ended, and the thread with it. */
const LONGEST_MS = 5_000;
const MOST_WAITING = 16;
const MOST_MEMORY_MB = 256;

export class ThreadedGrammars implements GrammarCompiler {
  readonly #url: URL;
  readonly #compiled = automatonCache();
  /** By source, in order of arrival; the first is being compiled. */
  readonly #jobs = new Map<string, Job>();
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param url the built `grammar/thread.js` */
  constructor(url: URL) {
    this.#url = url;
  }

  /** Rejects with a {@link GrammarBusyError} when too many others wait. */
  compile(source: GrammarSource, signal: AbortSignal): Promise<ByteAutomaton> {
    const key = keyOf(source, MOST_SOURCE);
    if (key === undefined) return Promise.reject(new GrammarTooLargeError('it is too large, or nests too deep'));
    const known = this.#compiled.get(key);
    if (known !== undefined) return Promise.resolve(known);
    const waiting = this.#jobs.get(key);
    if (waiting !== undefined) return this.#waitFor(waiting, signal);
    if (this.#jobs.size >= MOST_WAITING) return Promise.reject(new GrammarBusyError('other grammars are being compiled'));
    const job = newJob(key);
    this.#jobs.set(key, job);
    if (this.#jobs.size === 1) this.#begin();
    return this.#waitFor(job, signal);
  }

  /** What all have left is not begun; what has begun is finished for whoever asks next. */
  async #waitFor(job: Job, signal: AbortSignal): Promise<ByteAutomaton> {
    job.waiting += 1;
    try {
      return await unlessAborted(job.done, signal);
    } finally {
      job.waiting -= 1;
      const [first] = this.#jobs.values();
      if (job.waiting === 0 && job !== first && this.#jobs.get(job.key) === job) this.#jobs.delete(job.key);
    }
  }

  #begin(): void {
    const [job] = this.#jobs.values();
    if (job === undefined) return;
    this.#worker ??= this.#start();
    this.#timer = setTimeout(() => this.#lose(new GrammarTooLargeError('it takes too long to compile')), LONGEST_MS);
    this.#worker.postMessage(job.key);
  }

  #start(): Worker {
    const worker = new Worker(this.#url, { resourceLimits: { maxOldGenerationSizeMb: MOST_MEMORY_MB } });
    worker.on('message', (compiled: Compiled) => {
      if (worker === this.#worker) this.#end(compiled);
    });
    worker.on('error', (error) => {
      // Out of memory, most likely.
      if (worker === this.#worker) this.#lose(new GrammarTooLargeError('it takes too much to compile', { cause: error }));
    });
    // After the listeners, which would hold it again: a server that has nothing else to do may end.
    worker.unref();
    return worker;
  }

  /** The thread is no more; the others go on in a new one. */
  #lose(failure: Error): void {
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
    this.#end(failure);
  }

  #end(outcome: Compiled | Error): void {
    clearTimeout(this.#timer);
    const [first] = this.#jobs;
    if (first === undefined) return;
    const [key, job] = first;
    this.#jobs.delete(key);
    if (outcome instanceof Error) job.reject(outcome);
    else if ('refusal' in outcome) job.reject(new GrammarError(outcome.refusal));
    else {
      this.#compiled.set(key, outcome.automaton);
      job.resolve(outcome.automaton);
    }
    this.#begin();
  }
}

/** Written out: `Promise.withResolvers` comes with Node 22. */
function newJob(key: string): Job {
  let resolve!: Job['resolve'];
  let reject!: Job['reject'];
  const done = new Promise<ByteAutomaton>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  // All who wait for it may have left.
  done.catch(() => undefined);
  return { key, done, resolve, reject, waiting: 0 };
}

function unlessAborted<T>(done: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    done.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
