/**
 * The engine in an isolate: the one tier that fits there, on the one thread there is. It knows the other tiers' manifests too, so that
 * requests for them can be read; what runs those is not its business.
 *
 * @module
 */
import { ArtifactUnavailableError } from '../registry/errors.js';
import type { Manifest } from '../schema/manifest.js';
import { TierQuarantinedError, TierUnavailableError } from './errors.js';
import { Generation } from './generate.js';
import { prefixBytes } from './memory.js';
import type { ModelSession } from './onnx-runtime.js';
import type { PromptIds } from './patch.js';
import { PrefixIndex } from './prefix-index.js';
import { resultOf, unstarted } from './result.js';
import { type LoadedTier, modelShape, readyTier } from './tier.js';
import { Turns } from './turns.js';
import type { Engine, GenerateOptions, GenerateResult, Piece, Placement, TierState, TierStatus } from './types.js';

export interface IsolateParts {
  /** Ascending by unique parameters. */
  readonly manifests: readonly Manifest[];
  /** The tier that runs here. */
  readonly tier: string;
  /** Its model's bytes, checked. @throws {ArtifactCorruptError} {ArtifactUnavailableError} */
  readonly read: () => Promise<Uint8Array>;
  /** Its session calls `afterRun` when a run is over, and waits for it. */
  readonly open: (model: Uint8Array, afterRun: () => Promise<void>) => Promise<ModelSession>;
  /** Epoch milliseconds. */
  readonly nowMs: () => number;
  readonly drawSeed: () => number;
  readonly pause: (ms: number) => Promise<void>;
  /** Keeps the platform from dropping what a request has begun as soon as its client has left: it would never know its end, nor give anything back. */
  readonly hold: (work: Promise<unknown>) => void;
  /** What the runtime takes now. */
  readonly runtimeBytes: () => number;
}

/** A load belongs to the request that began it, and is lost with it if that ends before its time. No load takes so long. */
const LOST_LOAD_MS = 20_000;
/** Somebody may have put the right file in its place. */
const QUARANTINE_MS = 60_000;
const ONLY_WORKER = 0;

interface Load {
  readonly startMs: number;
  readonly done: Promise<number>;
}

export class IsolateEngine implements Engine {
  readonly manifests: readonly Manifest[];
  readonly workers = 1;
  readonly #parts: IsolateParts;
  readonly #manifest: Manifest;
  readonly #turns: Turns;
  readonly #prefixes: PrefixIndex;
  #loaded: LoadedTier | undefined;
  #load: Load | undefined;
  #loadMs: number | undefined;
  /** Why the last load failed. Until then no other is tried. */
  #failure: { readonly reason: string; readonly untilMs: number } | undefined;

  constructor(parts: IsolateParts) {
    const manifest = parts.manifests.find(({ id }) => id === parts.tier);
    if (manifest === undefined) throw new RangeError(`there is no tier ${parts.tier}`);
    this.#parts = parts;
    this.manifests = parts.manifests;
    this.#manifest = manifest;
    this.#turns = new Turns(parts.nowMs, () => parts.pause(1));
    this.#prefixes = new PrefixIndex(modelShape(manifest), prefixBytes(manifest), this.workers);
  }

  /** The tier that runs here. */
  get tier(): string {
    return this.#parts.tier;
  }

  get state(): TierState {
    if (this.#loaded !== undefined) return 'ready';
    if (this.#isQuarantined()) return 'quarantined';
    return this.#load === undefined ? 'cold' : 'loading';
  }

  status(): readonly TierStatus[] {
    return this.manifests.map(({ id }) => (id === this.#parts.tier ? this.#ownStatus() : { id, state: 'cold', reason: 'it does not run at the edge', workers: [], memoryBytes: 0 }));
  }

  isWarm({ tier, worker }: Placement): boolean {
    return tier === this.#parts.tier && worker === ONLY_WORKER && this.#loaded !== undefined;
  }

  hasRoom(tier: string): boolean {
    return tier === this.#parts.tier;
  }

  cachedPatches(tier: string, prompt: PromptIds, cacheSalt: string): readonly number[] {
    return tier === this.#parts.tier ? this.#prefixes.cachedPatches(prompt, cacheSalt) : [0];
  }

  load({ tier }: Placement): Promise<number> {
    if (tier !== this.#parts.tier) return Promise.reject(new TierUnavailableError(`${tier}: it does not run at the edge`));
    if (this.#failure !== undefined && this.#isQuarantined()) return Promise.reject(new TierQuarantinedError(`${tier}: ${this.#failure.reason}`));
    const { nowMs, hold } = this.#parts;
    if (this.#load === undefined || nowMs() - this.#load.startMs > LOST_LOAD_MS) {
      const load = { startMs: nowMs(), done: this.#open().finally(() => this.#load === load && (this.#load = undefined)) };
      this.#load = load;
      hold(load.done.catch(() => undefined));
    }
    return this.#load.done;
  }

  /** @throws {TierQuarantinedError} {TierUnavailableError} and what the runtime throws */
  async *generate(placement: Placement, options: GenerateOptions, signal: AbortSignal): AsyncGenerator<Piece, GenerateResult, void> {
    const { nowMs, drawSeed, hold } = this.#parts;
    const startMs = nowMs();
    const cutShort = await this.#warmUp(placement, options.deadlineAtMs, signal);
    const loadMs = nowMs() - startMs;
    const loaded = this.#loaded;
    if (cutShort !== undefined || loaded === undefined) return unstarted(cutShort ?? 'deadline', loadMs);

    const generation = new Generation({ ...loaded, nowMs }, { ...options, seed: options.seed ?? drawSeed() });
    const cancel = () => generation.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    const turn = this.#turns.join(options.deadlineAtMs);
    let firstByteMs: number | undefined;
    let end!: () => void;
    hold(new Promise<void>((resolve) => (end = resolve)));
    try {
      while (generation.outcome === undefined) {
        await turn.take(() => generation.outcome !== undefined);
        await loaded.runner.run([generation]).finally(() => turn.pass());
        for (const piece of generation.takePieces()) {
          if (piece.ofPrompt === undefined) firstByteMs ??= nowMs() - startMs;
          // A reader may be slow: others run meanwhile.
          turn.yield();
          yield piece;
        }
      }
      yield* generation.takePieces();
      if (generation.outcome.decodedPatches > 0) this.#prefixes.observe(ONLY_WORKER, options.prompt, options.cacheSalt);
      const elapsedMs = nowMs() - startMs;
      return resultOf(generation.outcome, { elapsedMs, loadMs, firstByteMs: firstByteMs ?? elapsedMs });
    } finally {
      turn.yield();
      signal.removeEventListener('abort', cancel);
      loaded.runner.forget(generation);
      end();
    }
  }

  async close(): Promise<void> {
    await this.#loaded?.session.release();
    this.#loaded = undefined;
  }

  /**
   * The event loop turns after a run: an isolate's clock stands still until then, so that nobody can time its processor, and neither could
   * whoever has to know what the run took. It also lets bytes leave, aborts be heard and other requests take their turn.
   */
  #afterRun(): Promise<void> {
    this.#turns.ran();
    return this.#parts.pause(0);
  }

  async #open(): Promise<number> {
    const { tier, read, open, nowMs } = this.#parts;
    const startMs = nowMs();
    try {
      const session = await open(await read(), () => this.#afterRun());
      this.#loaded = await readyTier(session, { tier, shape: modelShape(this.#manifest), prefixBytes: prefixBytes(this.#manifest), pace: this.#manifest.latencySeed }, nowMs);
      this.#failure = undefined;
      this.#loadMs = nowMs() - startMs;
      return this.#loadMs;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const Failure = cause instanceof ArtifactUnavailableError ? TierUnavailableError : TierQuarantinedError;
      this.#failure = { reason, untilMs: Failure === TierQuarantinedError ? nowMs() + QUARANTINE_MS : -Infinity };
      throw new Failure(`${tier}: ${reason}`, { cause });
    }
  }

  /** Resolves once the tier is warm, or to what came first. */
  async #warmUp(placement: Placement, deadlineAtMs: number, signal: AbortSignal): Promise<'cancelled' | 'deadline' | undefined> {
    const { nowMs, pause } = this.#parts;
    if (signal.aborted) return 'cancelled';
    if (this.isWarm(placement)) return undefined;
    const cancelled = new Promise<'cancelled'>((resolve) => signal.addEventListener('abort', () => resolve('cancelled'), { once: true }));
    const loaded = this.load(placement).then(() => undefined);
    const late = deadlineAtMs === Infinity ? [] : [pause(deadlineAtMs - nowMs()).then(() => 'deadline' as const)];
    return Promise.race([loaded, cancelled, ...late]);
  }

  #isQuarantined(): boolean {
    return this.#failure !== undefined && this.#parts.nowMs() < this.#failure.untilMs;
  }

  #ownStatus(): TierStatus {
    const id = this.#parts.tier;
    const reason = this.#failure?.reason;
    const { state } = this;
    return {
      id,
      state,
      ...(reason !== undefined && { reason }),
      ...(this.#loadMs !== undefined && { loadMs: this.#loadMs }),
      workers: state === 'ready' ? [ONLY_WORKER] : [],
      memoryBytes: this.#parts.runtimeBytes() + (this.#loaded?.prefixes.bytes ?? 0),
    };
  }
}
