/**
 * One worker thread as the pool sees it: its warm tiers, its calls in flight, and its return after a crash.
 *
 * @module
 */
import { Worker } from 'node:worker_threads';
import { EngineClosedError, GenerationFailedError, TierQuarantinedError, WorkerCrashedError } from './errors.js';
import { GenerationCall } from './generation-call.js';
import type { FromWorker, SeededOptions, TierModel, ToWorker, WorkerSetup } from './messages.js';

/** A thread that lived less than this did not come up properly: the next one waits, so that a broken build does not spin. */
const EARLY_DEATH_MS = 2_000;
const RESTART_DELAY_MS = 1_000;
/** A thread's own objects live for a patch. Left to itself V8 lets 16 MiB of them and more gather before it looks: at 50M, 215 MiB are resident instead of 170. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 2 };

interface PendingLoad {
  readonly model: TierModel;
  readonly done: Promise<number>;
  readonly resolve: (loadMs: number) => void;
  readonly reject: (error: Error) => void;
}

export class WorkerHost {
  readonly #url: URL;
  readonly #setup: WorkerSetup;
  readonly #warm = new Map<string, TierModel>();
  readonly #loads = new Map<string, PendingLoad>();
  readonly #calls = new Map<number, GenerationCall>();
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #nextId = 0;
  #closed = false;

  constructor(url: URL, setup: WorkerSetup) {
    this.#url = url;
    this.#setup = setup;
    this.#spawn();
  }

  get warmTiers(): readonly string[] {
    return [...this.#warm.keys()];
  }

  get loadingTiers(): readonly string[] {
    return [...this.#loads.keys()];
  }

  isWarm(tier: string): boolean {
    return this.#warm.has(tier);
  }

  /** Single flight; a call with an earlier deadline hurries the load that waits already. Resolves to the ms the load took. */
  load(model: TierModel, deadlineMs: number): Promise<number> {
    const waiting = this.#loads.get(model.tier);
    if (waiting === undefined && this.#warm.has(model.tier)) return Promise.resolve(0);
    if (this.#worker === undefined) return Promise.reject(this.#absent());
    const load = waiting ?? pendingLoad(model);
    this.#loads.set(model.tier, load);
    this.#tell({ kind: 'load', model, deadlineMs });
    return load.done;
  }

  /** The tier must be warm. */
  generate(tier: string, options: SeededOptions): { readonly call: GenerationCall; readonly cancel: () => void } {
    if (this.#worker === undefined) throw this.#absent();
    const id = this.#nextId;
    this.#nextId += 1;
    const call = new GenerationCall();
    this.#calls.set(id, call);
    this.#tell({ kind: 'generate', id, tier, options });
    return { call, cancel: () => this.#tell({ kind: 'cancel', id }) };
  }

  /** Cancels what is in flight and waits for the thread to end. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    this.#tell({ kind: 'close' });
    await this.#exited;
  }

  #spawn(): void {
    const startMs = performance.now();
    const worker = new Worker(this.#url, { workerData: this.#setup, resourceLimits: RESOURCE_LIMITS });
    this.#worker = worker;
    let failure: unknown;
    worker.on('message', (message: FromWorker) => this.#hear(message));
    worker.on('error', (error) => {
      failure = error;
    });
    this.#exited = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#worker = undefined;
        this.#fail(failure);
        if (!this.#closed) this.#revive(performance.now() - startMs < EARLY_DEATH_MS ? RESTART_DELAY_MS : 0);
        resolve();
      });
    });
  }

  /** A new thread, with every tier warm that the old one had. */
  #revive(delayMs: number): void {
    const models = [...this.#warm.values()];
    this.#warm.clear();
    this.#restart = setTimeout(() => {
      this.#spawn();
      for (const model of models) this.load(model, Infinity).catch(() => undefined);
    }, delayMs);
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'loaded':
      case 'loadFailed': {
        const load = this.#loads.get(message.tier);
        this.#loads.delete(message.tier);
        if (load === undefined) break;
        if (message.kind === 'loadFailed') load.reject(new TierQuarantinedError(message.reason));
        else {
          this.#warm.set(message.tier, load.model);
          load.resolve(message.loadMs);
        }
        break;
      }
      case 'bytes':
        for (const bytes of message.patches) this.#calls.get(message.id)?.push(bytes);
        break;
      case 'finished':
        this.#end(message.id, message.outcome);
        break;
      case 'failed':
        this.#end(message.id, new GenerationFailedError(message.reason));
        break;
    }
  }

  #end(id: number, end: Parameters<GenerationCall['finish']>[0]): void {
    this.#calls.get(id)?.finish(end);
    this.#calls.delete(id);
  }

  #fail(failure: unknown): void {
    const error = this.#closed ? new EngineClosedError('the engine is closed') : new WorkerCrashedError('the worker died', { cause: failure });
    for (const id of this.#calls.keys()) this.#end(id, error);
    for (const load of this.#loads.values()) load.reject(error);
    this.#loads.clear();
  }

  #tell(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  #absent(): Error {
    return this.#closed ? new EngineClosedError('the engine is closed') : new WorkerCrashedError('the worker is restarting');
  }
}

/** Written out: `Promise.withResolvers` comes with Node 22. */
function pendingLoad(model: TierModel): PendingLoad {
  let resolve!: PendingLoad['resolve'];
  let reject!: PendingLoad['reject'];
  const done = new Promise<number>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { model, done, resolve, reject };
}
