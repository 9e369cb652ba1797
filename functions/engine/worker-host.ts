/**
 * One worker thread as the pool sees it: its warm tiers, its calls in flight, and its return after a crash.
 *
 * @module
 */
import type { Worker } from 'node:worker_threads';
import { EngineClosedError, GenerationFailedError, TierQuarantinedError, WorkerCrashedError } from './errors.js';
import { GenerationCall } from './generation-call.js';
import type { FromWorker, SeededOptions, TierModel, ToWorker, WorkerSetup } from './messages.js';
import type { Occupancy } from './occupancy.js';
import { startThread } from './thread.js';

/** A thread that lived less than this did not come up properly: the next one waits, so that a broken build does not spin. */
const EARLY_DEATH_MS = 2_000;
const RESTART_DELAY_MS = 1_000;
/** A tier in the worker's memory, or on its way there or out. */
export interface HeldTier {
  readonly model: TierModel;
  /** `unloading`: no new text begins; those in flight still end. `lost`: with a thread that died; it is loaded again in the next. */
  state: 'loading' | 'warm' | 'unloading' | 'lost';
  /** Opened twice; see `ElasticSession`. */
  wide: boolean;
  /** In flight. */
  texts: number;
  loadedAtMs: number;
  /** When it was loaded, or a text last began or ended on it. */
  usedAtMs: number;
}

interface Pending<T> {
  readonly done: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

export interface WorkerHostParts {
  readonly url: URL;
  /** The first, if it is there already. */
  readonly thread?: Worker;
  readonly setup: WorkerSetup;
  readonly occupancy: Occupancy;
  readonly nowMs: () => number;
  /** Hears of every copy that is no longer in the worker, with all that it kept between texts. */
  readonly onGone: (tier: string) => void;
}

export class WorkerHost {
  readonly #url: URL;
  readonly #setup: WorkerSetup;
  readonly #occupancy: Occupancy;
  readonly #nowMs: () => number;
  readonly #onGone: (tier: string) => void;
  readonly #held = new Map<string, HeldTier>();
  readonly #loads = new Map<string, Pending<number>>();
  readonly #widenings = new Map<string, Pending<boolean>>();
  readonly #unloads = new Map<string, Pending<void>>();
  readonly #calls = new Map<number, { readonly call: GenerationCall; readonly held: HeldTier }>();
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #nextId = 0;
  #begun = false;
  #closed = false;

  constructor({ url, thread, setup, occupancy, nowMs, onGone }: WorkerHostParts) {
    this.#url = url;
    this.#setup = setup;
    this.#occupancy = occupancy;
    this.#nowMs = nowMs;
    this.#onGone = onGone;
    if (thread !== undefined) this.#spawn(thread);
  }

  get held(): readonly Readonly<HeldTier>[] {
    return [...this.#held.values()];
  }

  isWarm(tier: string): boolean {
    return this.#held.get(tier)?.state === 'warm';
  }

  /** Single flight; a call with an earlier deadline hurries the load that waits already. Resolves to the ms the load took. */
  load(model: TierModel, deadlineMs: number): Promise<number> {
    const { tier } = model;
    if (this.isWarm(tier) || this.#keep(tier)) return Promise.resolve(0);
    // The first load starts the thread: until a server has something to do on it, it would only be in the way of the others.
    if (!this.#begun && !this.#closed) this.#spawn();
    if (this.#worker === undefined) return Promise.reject(this.#absent());
    const load = this.#loads.get(tier) ?? pending<number>();
    // What is lost comes back as it was, and its memory is kept for that.
    const wide = this.#held.get(tier)?.wide ?? false;
    if (!this.#loads.has(tier)) this.#held.set(tier, { model, state: 'loading', wide, texts: 0, loadedAtMs: this.#nowMs(), usedAtMs: this.#nowMs() });
    this.#loads.set(tier, load);
    this.#countJobs();
    this.#tell({ kind: 'load', model, setup: this.#setup, deadlineMs });
    return load.done;
  }

  /** Has a warm tier opened once more, for when it has the machine to itself. Resolves to whether this call has brought that about. */
  widen(tier: string): Promise<boolean> {
    const held = this.#held.get(tier);
    if (this.#worker === undefined || held?.state !== 'warm' || held.wide) return Promise.resolve(false);
    held.wide = true;
    return this.#widen(held);
  }

  /**
   * Frees a warm tier once its texts have ended; new ones find it cold from now on. Resolves when its session is freed
   * and its caches are let go, which the thread's collector frees when it runs next; or when it is wanted again before that.
   */
  unload(tier: string): Promise<void> {
    const held = this.#held.get(tier);
    if (held?.state === 'warm') {
      held.state = 'unloading';
      this.#unloads.set(tier, pending<void>());
      this.#releaseIfIdle(held);
    }
    return this.#unloads.get(tier)?.done ?? Promise.resolve();
  }

  /** The tier must be warm. */
  generate(tier: string, options: SeededOptions): { readonly call: GenerationCall; readonly cancel: () => void } {
    const held = this.#held.get(tier);
    if (this.#worker === undefined || held === undefined) throw this.#absent();
    const id = this.#nextId;
    this.#nextId += 1;
    const call = new GenerationCall();
    this.#calls.set(id, { call, held });
    held.texts += 1;
    held.usedAtMs = this.#nowMs();
    this.#countJobs();
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

  #spawn(worker = startThread(this.#url)): void {
    this.#begun = true;
    const startMs = performance.now();
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

  /** Its memory is promised. */
  #widen({ model }: HeldTier): Promise<boolean> {
    const widening = pending<boolean>();
    this.#widenings.set(model.tier, widening);
    this.#countJobs();
    this.#tell({ kind: 'widen', model, setup: this.#setup });
    return widening.done;
  }

  /** A new thread, with every tier warm that the old one had. */
  #revive(delayMs: number): void {
    this.#restart = setTimeout(() => {
      this.#spawn();
      for (const { model, wide } of this.held) {
        const load = this.load(model, Infinity);
        const held = this.#held.get(model.tier);
        load.then(() => (wide && held?.state === 'warm' ? this.#widen(held) : undefined), () => undefined);
      }
    }, delayMs);
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'loaded':
      case 'loadFailed':
        this.#endLoad(message);
        break;
      case 'widened':
        this.#endWidening(message.tier, message.wide);
        break;
      case 'unloaded':
        this.#onGone(message.tier);
        // It may be loading again already.
        if (this.#held.get(message.tier)?.state === 'unloading') this.#held.delete(message.tier);
        this.#endUnload(message.tier);
        break;
      case 'text':
        for (const piece of message.pieces) this.#calls.get(message.id)?.call.push(piece);
        break;
      case 'finished':
        this.#end(message.id, message.outcome);
        break;
      case 'failed':
        this.#end(message.id, new GenerationFailedError(message.reason));
        break;
    }
  }

  #endLoad(message: Extract<FromWorker, { kind: 'loaded' | 'loadFailed' }>): void {
    const { tier } = message;
    const load = this.#loads.get(tier);
    const held = this.#held.get(tier);
    this.#loads.delete(tier);
    this.#countJobs();
    if (load === undefined || held === undefined) return;
    if (message.kind === 'loadFailed') {
      this.#held.delete(tier);
      load.reject(new TierQuarantinedError(message.reason));
    } else {
      held.state = 'warm';
      held.loadedAtMs = this.#nowMs();
      held.usedAtMs = held.loadedAtMs;
      load.resolve(message.loadMs);
    }
  }

  /** Whether a tier that only waits for its texts to end could be kept instead. */
  #keep(tier: string): boolean {
    const held = this.#held.get(tier);
    if (held?.state !== 'unloading' || held.texts === 0) return false;
    held.state = 'warm';
    this.#endUnload(tier);
    return true;
  }

  #releaseIfIdle(held: HeldTier): void {
    if (held.state === 'unloading' && held.texts === 0) this.#tell({ kind: 'unload', tier: held.model.tier });
  }

  #endWidening(tier: string, wide: boolean): void {
    const held = this.#held.get(tier);
    if (held !== undefined && !wide) held.wide = false;
    this.#widenings.get(tier)?.resolve(wide);
    this.#widenings.delete(tier);
    this.#countJobs();
  }

  #endUnload(tier: string): void {
    this.#unloads.get(tier)?.resolve();
    this.#unloads.delete(tier);
  }

  #end(id: number, end: Parameters<GenerationCall['finish']>[0]): void {
    const found = this.#calls.get(id);
    if (found === undefined) return;
    this.#calls.delete(id);
    this.#countJobs();
    found.call.finish(end);
    found.held.texts -= 1;
    found.held.usedAtMs = this.#nowMs();
    this.#releaseIfIdle(found.held);
  }

  /** The thread is gone, and with it all it did and held; what was warm comes back. */
  #fail(failure: unknown): void {
    const error = this.#closed ? new EngineClosedError('the engine is closed') : new WorkerCrashedError('the worker died', { cause: failure });
    for (const id of this.#calls.keys()) this.#end(id, error);
    for (const load of this.#loads.values()) load.reject(error);
    this.#loads.clear();
    for (const tier of this.#widenings.keys()) this.#endWidening(tier, false);
    for (const [tier, held] of this.#held) {
      this.#onGone(tier);
      if (held.state === 'warm' || held.state === 'lost') held.state = 'lost';
      else this.#held.delete(tier);
    }
    for (const tier of this.#unloads.keys()) this.#endUnload(tier);
    this.#countJobs();
  }

  #countJobs(): void {
    this.#occupancy.set(this.#setup.worker, this.#calls.size + this.#loads.size + this.#widenings.size);
  }

  #tell(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  #absent(): Error {
    return this.#closed ? new EngineClosedError('the engine is closed') : new WorkerCrashedError('the worker is restarting');
  }
}

/** Written out: `Promise.withResolvers` comes with Node 22. */
function pending<T>(): Pending<T> {
  let resolve!: Pending<T>['resolve'];
  let reject!: Pending<T>['reject'];
  const done = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { done, resolve, reject };
}
