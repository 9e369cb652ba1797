/**
 * The engine on Node: a pool of worker threads, each of which loads tiers on demand and runs generations, together or in turn.
 *
 * @module
 */
import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { ArtifactCorruptError, ArtifactUnavailableError } from '../registry/errors.js';
import type { LocalModel, Registry } from '../registry/registry.js';
import type { Manifest } from '../schema/manifest.js';
import { EngineClosedError, TierQuarantinedError, TierUnavailableError } from './errors.js';
import type { GenerationOutcome } from './generate.js';
import { prefixBytes } from './memory.js';
import type { TierModel } from './messages.js';
import { monotonicMs } from './monotonic.js';
import { Occupancy } from './occupancy.js';
import type { PromptIds } from './patch.js';
import { PrefixIndex } from './prefix-index.js';
import { Residency, type ResidencyRules } from './residency.js';
import { resultOf, unstarted } from './result.js';
import { modelShape } from './tier.js';
import type { Engine, GenerateOptions, GenerateResult, Piece, Placement, TierState, TierStatus } from './types.js';
import { WorkerHost } from './worker-host.js';

/** `setTimeout` fires at once for anything longer; no load takes 24 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface PoolOptions extends ResidencyRules {
  readonly registry: Registry;
  /** The built `engine/worker.js`. */
  readonly workerUrl: URL;
  /** One of them that was started before the pool. */
  readonly firstThread?: Worker;
  readonly workers: number;
  /** Threads of one run, in each worker. */
  readonly threads: number;
  /** Of a run while all other workers are idle; no more than `threads` if absent. */
  readonly wideThreads?: number;
  /** Where this machine's optimised graphs are kept; undefined: nowhere. */
  readonly preparedFolder?: string;
  /** For how long copies have been idle. */
  readonly nowMs?: () => number;
}

export class WorkerPool implements Engine {
  readonly manifests: readonly Manifest[];
  readonly workers: number;
  readonly #registry: Registry;
  readonly #hosts: readonly WorkerHost[];
  readonly #prefixes: ReadonlyMap<string, PrefixIndex>;
  /** Tiers whose file is whole and yet no model. */
  readonly #unloadable = new Map<string, string>();
  /** Why the last attempt failed, where another may not. */
  readonly #failures = new Map<string, string>();
  readonly #residency: Residency;
  readonly #widens: boolean;
  readonly #loadMs = new Map<string, number>();
  #closed = false;

  constructor({ registry, workerUrl, firstThread, workers, threads, wideThreads = threads, preparedFolder, nowMs = monotonicMs, ...rules }: PoolOptions) {
    this.#registry = registry;
    this.manifests = registry.manifests;
    this.workers = workers;
    this.#prefixes = new Map(this.manifests.map((manifest) => [manifest.id, new PrefixIndex(modelShape(manifest), prefixBytes(manifest), workers)]));
    this.#widens = workers > 1 && wideThreads > threads;
    const occupancy = new Occupancy(workers);
    const setup = { workers, occupancy: occupancy.shared, threads, wideThreads, ...(preparedFolder !== undefined && { preparedFolder }) };
    this.#hosts = Array.from({ length: workers }, (_, worker) => {
      const forget = (tier: string) => this.#prefixes.get(tier)?.forget(worker);
      return new WorkerHost({ url: workerUrl, setup: { ...setup, worker }, occupancy, nowMs, onGone: forget, ...(worker === 0 && firstThread && { thread: firstThread }) });
    });
    this.#residency = new Residency({ ...rules, hosts: this.#hosts, manifests: this.manifests, nowMs });
  }

  status(): readonly TierStatus[] {
    const unlisted = [...this.#registry.quarantine.keys()].filter((tier) => !this.manifests.some(({ id }) => id === tier));
    return [...this.manifests.map(({ id }) => id), ...unlisted].map((id) => this.#statusOf(id));
  }

  isWarm({ tier, worker }: Placement): boolean {
    return this.#hosts[worker]?.isWarm(tier) ?? false;
  }

  hasRoom(tier: string): boolean {
    return this.#residency.lack(tier) === undefined;
  }

  cachedPatches(tier: string, prompt: PromptIds, cacheSalt: string): readonly number[] {
    const index = this.#prefixes.get(tier);
    if (index === undefined) throw new RangeError(`there is no tier ${tier}`);
    return index.cachedPatches(prompt, cacheSalt);
  }

  /** Waits, in the worker, until no request is left that has a deadline. Of what is warm: what its tier's last load took. @throws as `generate` does */
  load(placement: Placement): Promise<number> {
    return this.#load(placement, Infinity);
  }

  /** Not the smallest tier: its runs are over before a second thread has begun to help. */
  async widen({ tier, worker }: Placement): Promise<boolean> {
    if (!this.#widens || tier === this.manifests[0]?.id || !this.#residency.hasRoomToWiden(tier)) return false;
    return this.#host({ tier, worker }).widen(tier);
  }

  /** Frees the tier's memory in that worker once its texts there have ended; whoever wants it before that keeps it. */
  unload(placement: Placement): Promise<void> {
    return this.#host(placement).unload(placement.tier);
  }

  /** Gives quarantined tiers another chance: an operator may have repaired a file. Manifests are read at the start only. */
  async requalify(): Promise<void> {
    await this.#registry.requalify();
    const unloadable = [...this.#unloadable.keys()];
    this.#unloadable.clear();
    for (const tier of unloadable) {
      // What fails again is quarantined again.
      await this.load({ tier, worker: 0 }).catch(() => undefined);
    }
  }

  /**
   * @throws {TierQuarantinedError} {TierUnavailableError} {WorkerCrashedError} {GenerationFailedError} {EngineClosedError}
   */
  async *generate(placement: Placement, options: GenerateOptions, signal: AbortSignal): AsyncGenerator<Piece, GenerateResult, void> {
    // A request's generations share its signal: Node takes more than ten listeners for a leak, and says so.
    setMaxListeners(0, signal);
    const startMs = monotonicMs();
    const untilDeadlineMs = options.deadlineAtMs - (performance.timeOrigin + performance.now());
    const deadlineMs = startMs + untilDeadlineMs;
    let cutShort: 'cancelled' | 'deadline' | undefined;
    // What has just been loaded may have been unloaded again before whoever waited for it comes to know.
    do cutShort = await this.#warmUp(placement, deadlineMs, signal);
    while (cutShort === undefined && !this.isWarm(placement));
    const loadMs = monotonicMs() - startMs;
    if (cutShort !== undefined) return unstarted(cutShort, loadMs);

    const seeded = { ...options, deadlineAtMs: deadlineMs, seed: options.seed ?? randomInt(2 ** 48 - 1), seedDrawn: options.seed === undefined };
    const { call, cancel } = this.#host(placement).generate(placement.tier, seeded);
    // Other texts may read the same prompt meanwhile: what they add was not promised to this one.
    const promisedPatches = this.cachedPatches(placement.tier, options.prompt, options.cacheSalt)[placement.worker] ?? 0;
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    let firstByteMs: number | undefined;
    try {
      const pieces = call.read();
      for (let next = await pieces.next(); ; next = await pieces.next()) {
        const elapsedMs = monotonicMs() - startMs;
        if (next.done === true) {
          this.#learnPrefix(placement, options, next.value, promisedPatches);
          return resultOf(next.value, { elapsedMs, loadMs, firstByteMs: firstByteMs ?? elapsedMs });
        }
        if (next.value.ofPrompt === undefined) firstByteMs ??= elapsedMs;
        yield next.value;
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      // A reader that leaves early ends compute as an abort does.
      if (!call.ended) cancel();
    }
  }

  /** Cancels what is in flight and ends every thread. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#residency.close();
    await Promise.all(this.#hosts.map((host) => host.close()));
  }

  #host({ worker }: Placement): WorkerHost {
    const host = this.#hosts[worker];
    if (host === undefined) throw new RangeError(`there is no worker ${worker}`);
    if (this.#closed) throw new EngineClosedError('the engine is closed');
    return host;
  }

  /** A promise that did not hold must not be made again: it may be why no text came, and then none ever would. */
  #learnPrefix({ tier, worker }: Placement, { prompt, cacheSalt, scoresPrompt = false }: GenerateOptions, outcome: GenerationOutcome, promisedPatches: number): void {
    const index = this.#prefixes.get(tier);
    // What is scored is read again in any case.
    if (outcome.cachedPatches < promisedPatches && !scoresPrompt) index?.forget(worker);
    if (outcome.decodedPatches > 0) index?.observe(worker, prompt, cacheSalt);
  }

  /** Resolves once the tier is warm, or to what came first. */
  async #warmUp(placement: Placement, deadlineMs: number, signal: AbortSignal): Promise<'cancelled' | 'deadline' | undefined> {
    if (signal.aborted) return 'cancelled';
    if (this.#host(placement).isWarm(placement.tier)) return undefined;
    return new Promise((resolve, reject) => {
      const abort = () => resolve('cancelled');
      signal.addEventListener('abort', abort, { once: true });
      const remainingMs = deadlineMs - monotonicMs();
      const timer = setTimeout(() => resolve('deadline'), Math.min(remainingMs, LONGEST_TIMER_MS));
      this.#load(placement, deadlineMs)
        .then(() => resolve(undefined), reject)
        .finally(() => {
          signal.removeEventListener('abort', abort);
          clearTimeout(timer);
        });
    });
  }

  async #load(placement: Placement, deadlineMs: number): Promise<number> {
    const { tier } = placement;
    const host = this.#host(placement);
    const reason = this.#quarantineReason(tier);
    if (reason !== undefined) throw new TierQuarantinedError(`${tier}: ${reason}`);
    const knownMs = this.#loadMs.get(tier);
    if (knownMs !== undefined && host.isWarm(tier)) return knownMs;
    try {
      const loadMs = await this.#residency.arrive(placement, async (makeRoom) => {
        const startMs = monotonicMs();
        const model = tierModel(await this.#registry.model(tier));
        await makeRoom();
        const preparedMs = monotonicMs() - startMs;
        return preparedMs + (await host.load(model, deadlineMs));
      });
      this.#loadMs.set(tier, loadMs);
      this.#failures.delete(tier);
      return loadMs;
    } catch (error) {
      throw error instanceof Error ? this.#loadFailure(tier, error) : error;
    }
  }

  /** Remembers why, for `status`. */
  #loadFailure(tier: string, error: Error): Error {
    if (error instanceof TierQuarantinedError) this.#unloadable.set(tier, error.message);
    if (error instanceof ArtifactCorruptError) return new TierQuarantinedError(`${tier}: ${error.message}`, { cause: error });
    if (!(error instanceof ArtifactUnavailableError)) return error;
    this.#failures.set(tier, error.message);
    return new TierUnavailableError(`${tier}: ${error.message}`, { cause: error });
  }

  #quarantineReason(tier: string): string | undefined {
    return this.#registry.quarantine.get(tier) ?? this.#unloadable.get(tier);
  }

  #statusOf(id: string): TierStatus {
    const state = this.#state(id);
    const reason = this.#quarantineReason(id) ?? (state === 'cold' ? (this.#failures.get(id) ?? this.#residency.lack(id)) : undefined);
    const loadMs = this.#loadMs.get(id);
    const workers = this.#hosts.flatMap((host, worker) => (host.isWarm(id) ? [worker] : []));
    const memoryBytes = this.#residency.bytesOf(id);
    return { id, state, ...(reason !== undefined && { reason }), ...(loadMs !== undefined && { loadMs }), workers, memoryBytes };
  }

  #state(tier: string): TierState {
    if (this.#quarantineReason(tier) !== undefined) return 'quarantined';
    if (this.#hosts.some((host) => host.isWarm(tier))) return 'ready';
    return this.#residency.isArriving(tier) ? 'loading' : 'cold';
  }
}

function tierModel({ manifest, path, sha256 }: LocalModel): TierModel {
  return { tier: manifest.id, file: { path, sha256 }, shape: modelShape(manifest), prefixBytes: prefixBytes(manifest), pace: manifest.latencySeed };
}
