/**
 * What a worker thread does: loads tiers and runs generations, several in a run where that harms none. Runs are synchronous native
 * calls. Between two of them the event loop turns, though at most once a millisecond: a message from the main thread is obeyed within a
 * millisecond and a run.
 *
 * @module
 */
import { chooseRun, type Sharing, type Waiting } from './choose-run.js';
import { EarliestDeadlineFirst } from './earliest-deadline.js';
import { Generation } from './generate.js';
import type { FromWorker, SeededOptions, TierModel, ToWorker, WorkerSetup } from './messages.js';
import { monotonicMs } from './monotonic.js';
import { ElasticSession } from './elastic-session.js';
import type { OnnxRuntime } from './onnx-runtime.js';
import { Occupancy } from './occupancy.js';
import { openSession } from './open-session.js';
import { type LoadedTier, readyTier, releaseTier } from './tier.js';
import type { Piece } from './types.js';

type Say = (message: FromWorker) => void;

export class ModelThread {
  readonly #runtime: OnnxRuntime;
  readonly #say: Say;
  readonly #queue = new EarliestDeadlineFirst<LoadJob | TextJob>((jobs) => this.#serve(jobs));
  readonly #tiers = new Map<string, LoadedTier<ElasticSession>>();
  readonly #loads = new Map<string, LoadJob>();
  readonly #generations = new Map<number, TextJob>();

  constructor(runtime: OnnxRuntime, say: Say) {
    this.#runtime = runtime;
    this.#say = say;
  }

  obey(message: ToWorker): void {
    switch (message.kind) {
      case 'load':
        this.#load(message.model, message.setup, message.deadlineMs);
        break;
      case 'generate':
        this.#generate(message.id, message.tier, message.options);
        break;
      case 'cancel':
        this.#generations.get(message.id)?.cancel();
        break;
      case 'widen':
        this.#widen(message.model, message.setup);
        break;
      case 'unload':
        // Before all else, and never inside a run.
        this.#queue.add(new LoadJob(-Infinity, () => this.#unload(message.tier)));
        break;
      case 'close':
        for (const job of this.#generations.values()) job.cancel();
        break;
    }
  }

  #load(model: TierModel, { worker, workers, occupancy, ...setup }: WorkerSetup, deadlineMs: number): void {
    const waiting = this.#loads.get(model.tier);
    if (waiting !== undefined) {
      // Somebody now waits for a load that was begun with time to spare.
      waiting.deadlineMs = Math.min(waiting.deadlineMs, deadlineMs);
      return;
    }
    const all = new Occupancy(workers, occupancy);
    const job = new LoadJob(deadlineMs, async () => {
      const startMs = monotonicMs();
      try {
        const session = new ElasticSession(await openSession(model.file, { ...setup, runtime: this.#runtime }), () => all.isAlone(worker), monotonicMs);
        this.#tiers.set(model.tier, await readyTier(session, model, monotonicMs));
        this.#say({ kind: 'loaded', tier: model.tier, loadMs: monotonicMs() - startMs });
      } catch (error) {
        this.#say({ kind: 'loadFailed', tier: model.tier, reason: messageOf(error) });
      } finally {
        this.#loads.delete(model.tier);
      }
    });
    this.#loads.set(model.tier, job);
    this.#queue.add(job);
  }

  /** Its session is opened once more, for runs that have the machine to themselves; it runs on as before where that cannot be. */
  #widen({ tier, file }: TierModel, { wideThreads: threads, preparedFolder }: WorkerSetup): void {
    const loaded = this.#tiers.get(tier);
    const options = { runtime: this.#runtime, threads, yields: true, ...(preparedFolder !== undefined && { preparedFolder }) };
    const job = new LoadJob(Infinity, async () => {
      // It may have been unloaded meanwhile, and loaded again as another copy.
      const wide = loaded === this.#tiers.get(tier) ? await openSession(file, options).catch(() => undefined) : undefined;
      if (wide !== undefined) loaded?.session.widen(wide);
      this.#say({ kind: 'widened', tier, wide: wide !== undefined });
    });
    this.#queue.add(job);
  }

  async #unload(tier: string): Promise<void> {
    const loaded = this.#tiers.get(tier);
    this.#tiers.delete(tier);
    // A session that cannot be released is forgotten all the same.
    if (loaded !== undefined) await releaseTier(loaded).catch(() => undefined);
    this.#say({ kind: 'unloaded', tier });
  }

  #generate(id: number, tier: string, options: SeededOptions): void {
    const loaded = this.#tiers.get(tier);
    if (loaded === undefined) {
      this.#say({ kind: 'failed', id, reason: `${tier} is not loaded` });
      return;
    }
    const job = new TextJob(tier, loaded, options, {
      text: (pieces) => this.#say({ kind: 'text', id, pieces }),
      ended: (end) => {
        this.#generations.delete(id);
        this.#queue.remove(job);
        if (end instanceof Error) this.#say({ kind: 'failed', id, reason: messageOf(end) });
        else this.#say({ kind: 'finished', id, outcome: end });
      },
    });
    this.#generations.set(id, job);
    this.#queue.add(job);
  }

  async #serve(jobs: readonly [LoadJob | TextJob, ...(LoadJob | TextJob)[]]): Promise<readonly (LoadJob | TextJob)[]> {
    const [first, ...later] = jobs;
    const chosen = chooseRun([waiting(first), ...later.map(waiting)], monotonicMs()).map(({ job }) => job);
    const [next] = chosen;
    if (next instanceof LoadJob) {
      await next.load();
      this.#queue.remove(next);
    } else {
      const texts = chosen as TextJob[];
      const failures = await texts[0]!.loaded.runner.runApart(texts.map(({ generation }) => generation));
      for (const text of texts) text.report(failures);
    }
    return chosen;
  }
}

/** What a job asks for just now. */
function waiting<J extends LoadJob | TextJob>(job: J): Waiting & { readonly job: J } {
  return { job, deadlineMs: job.deadlineMs, aloneMs: job.aloneMs, shares: job.shares };
}

class LoadJob {
  deadlineMs: number;
  /** Not known here. */
  readonly aloneMs = 0;
  readonly shares = undefined;
  readonly load: () => Promise<void>;

  constructor(deadlineMs: number, load: () => Promise<void>) {
    this.deadlineMs = deadlineMs;
    this.load = load;
  }
}

interface TextListener {
  text(pieces: readonly Piece[]): void;
  /** Once. */
  ended(end: NonNullable<Generation['outcome']> | Error): void;
}

class TextJob {
  readonly generation: Generation;
  readonly loaded: LoadedTier;
  readonly deadlineMs: number;
  readonly #tier: string;
  readonly #sharesRuns: boolean;
  readonly #listener: TextListener;
  #ended = false;

  constructor(tier: string, loaded: LoadedTier, options: SeededOptions, listener: TextListener) {
    this.generation = new Generation({ ...loaded, nowMs: monotonicMs }, options);
    this.loaded = loaded;
    this.deadlineMs = options.deadlineAtMs;
    this.#tier = tier;
    // Quantised kernels round a row differently in runs of another size.
    this.#sharesRuns = options.seedDrawn;
    this.#listener = listener;
  }

  get aloneMs(): number {
    const { unreadPatches, unscoredPatches, patchesLeft } = this.generation;
    const { pace } = this.loaded;
    return pace.likelyMs(unreadPatches, unscoredPatches) + (patchesLeft - 1) * pace.likelyMs(1);
  }

  get shares(): Sharing | undefined {
    if (!this.#sharesRuns) return undefined;
    const { ready, unreadPatches, unscoredPatches, patchesLeft } = this.generation;
    const { pace, shape } = this.loaded;
    return {
      tier: this.#tier,
      // One more text costs a decode run about what one more patch costs a prefill run: 16 texts of 50M and 8 of 100M take 16 ms.
      most: shape.chunkPatches,
      readMs: ready ? 0 : pace.likelyMs(unreadPatches, unscoredPatches),
      runs: patchesLeft,
      likelyMs: (texts) => pace.likelySharedMs(texts),
      cautiousMs: (texts) => pace.cautiousSharedMs(texts),
    };
  }

  cancel(): void {
    this.generation.cancel();
    this.report(new Map());
  }

  /** Passes on what is new of the text, or why there is no more of it. */
  report(failures: ReadonlyMap<Generation, unknown>): void {
    if (this.#ended) return;
    const pieces = this.generation.takePieces();
    if (pieces.length > 0) this.#listener.text(pieces);
    const failure = failures.get(this.generation);
    if (this.generation.outcome !== undefined) this.#end(this.generation.outcome);
    else if (failures.has(this.generation)) this.#end(failure instanceof Error ? failure : new Error(String(failure)));
  }

  #end(end: NonNullable<Generation['outcome']> | Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.loaded.runner.forget(this.generation);
    this.#listener.ended(end);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
