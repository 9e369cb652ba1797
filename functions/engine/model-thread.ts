/**
 * What a worker thread does: loads tiers and interleaves generations. Runs are synchronous native calls; between two of them the
 * event loop turns once, so a message from the main thread is obeyed before the next run begins.
 *
 * @module
 */
import { EarliestDeadlineFirst, type Job } from './earliest-deadline.js';
import { Generation } from './generate.js';
import type { FromWorker, SeededOptions, TierModel, ToWorker } from './messages.js';
import { monotonicMs } from './monotonic.js';
import type { SessionOptions } from './open-session.js';
import { type LoadedTier, loadTier } from './tier.js';

type Say = (message: FromWorker) => void;

export class ModelThread {
  readonly #setup: SessionOptions;
  readonly #say: Say;
  readonly #queue = new EarliestDeadlineFirst();
  readonly #tiers = new Map<string, LoadedTier>();
  readonly #loads = new Map<string, LoadJob>();
  readonly #generations = new Map<number, GenerationJob>();

  constructor(setup: SessionOptions, say: Say) {
    this.#setup = setup;
    this.#say = say;
  }

  obey(message: ToWorker): void {
    switch (message.kind) {
      case 'load':
        this.#load(message.model, message.deadlineMs);
        break;
      case 'generate':
        this.#generate(message.id, message.tier, message.options);
        break;
      case 'cancel':
        this.#generations.get(message.id)?.cancel();
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

  #load(model: TierModel, deadlineMs: number): void {
    const waiting = this.#loads.get(model.tier);
    if (waiting !== undefined) {
      // Somebody now waits for a load that was begun with time to spare.
      waiting.deadlineMs = Math.min(waiting.deadlineMs, deadlineMs);
      return;
    }
    const job = new LoadJob(deadlineMs, async () => {
      const startMs = monotonicMs();
      try {
        this.#tiers.set(model.tier, await loadTier(model, this.#setup));
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

  async #unload(tier: string): Promise<void> {
    const loaded = this.#tiers.get(tier);
    this.#tiers.delete(tier);
    // A session that cannot be released is forgotten all the same.
    await loaded?.session.release().catch(() => undefined);
    this.#say({ kind: 'unloaded', tier });
  }

  #generate(id: number, tier: string, options: SeededOptions): void {
    const loaded = this.#tiers.get(tier);
    if (loaded === undefined) {
      this.#say({ kind: 'failed', id, reason: `${tier} is not loaded` });
      return;
    }
    const generation = new Generation({ ...loaded, nowMs: monotonicMs }, options);
    const job = new GenerationJob(generation, options.deadlineAtMs, {
      bytes: (bytes) => this.#say({ kind: 'bytes', id, patches: [bytes] }),
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
}

class LoadJob implements Job {
  deadlineMs: number;
  readonly #load: () => Promise<void>;

  constructor(deadlineMs: number, load: () => Promise<void>) {
    this.deadlineMs = deadlineMs;
    this.#load = load;
  }

  async run(): Promise<boolean> {
    await this.#load();
    return false;
  }
}

interface GenerationListener {
  bytes(bytes: Uint8Array): void;
  /** Once. */
  ended(end: NonNullable<Generation['outcome']> | Error): void;
}

class GenerationJob implements Job {
  readonly deadlineMs: number;
  readonly #generation: Generation;
  readonly #listener: GenerationListener;
  #ended = false;

  constructor(generation: Generation, deadlineMs: number, listener: GenerationListener) {
    this.#generation = generation;
    this.deadlineMs = deadlineMs;
    this.#listener = listener;
  }

  async run(): Promise<boolean> {
    try {
      const bytes = await this.#generation.step();
      if (bytes.length > 0) this.#listener.bytes(bytes);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
    if (this.#generation.outcome !== undefined) this.#end(this.#generation.outcome);
    return !this.#ended;
  }

  cancel(): void {
    this.#generation.cancel();
    if (this.#generation.outcome !== undefined) this.#end(this.#generation.outcome);
  }

  #end(end: NonNullable<Generation['outcome']> | Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#listener.ended(end);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
