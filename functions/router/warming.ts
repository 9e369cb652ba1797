/**
 * Loads tiers into workers for the router, once each however many ask, and those that are only wished for when their worker is idle;
 * and measures them.
 */
import type { Engine, GenerateResult, Placement } from '../engine/types.js';
import { calibrationProbes } from './calibrate.js';
import type { RouterLog } from './types.js';

/** A load that failed is not tried again sooner than this. */
const LOAD_RETRY_MS = 5_000;
/** Between two measurements of a warm tier that nobody asked to run. */
const REMEASURE_MS = 2_000;

export interface WarmingParts {
  readonly engine: Pick<Engine, 'isWarm' | 'load' | 'widen' | 'generate'>;
  readonly nowMs: () => number;
  readonly log: RouterLog;
  readonly isIdle: (worker: number) => boolean;
  readonly isMeasured: (tier: string) => boolean;
  /** The worker stops for the load. */
  readonly onStart: (placement: Placement) => void;
  /** It goes on; `loadMs` is undefined if the load failed. */
  readonly onEnd: (placement: Placement, loadMs: number | undefined) => void;
  /** From now on it runs otherwise than was measured. */
  readonly onWiden: (placement: Placement) => void;
  readonly onProbe: (placement: Placement, result: GenerateResult) => void;
}

interface LoadUnderWay {
  readonly placement: Placement;
  readonly startMs: number;
  readonly done: Promise<void>;
}

export class Warming {
  readonly #parts: WarmingParts;
  readonly #loads = new Map<string, LoadUnderWay>();
  readonly #wanted = new Map<string, Placement>();
  readonly #failedAtMs = new Map<string, number>();
  readonly #measuring = new Set<string>();
  /** Told when a worker may have become idle. */
  #waiting: (() => void)[] = [];
  #remeasuredAtMs = -Infinity;

  constructor(parts: WarmingParts) {
    this.#parts = parts;
  }

  isLoading(placement: Placement): boolean {
    return this.#loads.has(key(placement));
  }

  underWay(worker: number): readonly Pick<LoadUnderWay, 'placement' | 'startMs'>[] {
    return [...this.#loads.values()].filter(({ placement }) => placement.worker === worker);
  }

  /** A request would have run there had it been warm. */
  want(placement: Placement): void {
    if (this.isLoading(placement)) return;
    const failedAtMs = this.#failedAtMs.get(key(placement)) ?? -Infinity;
    if (this.#parts.nowMs() - failedAtMs >= LOAD_RETRY_MS) this.#wanted.set(key(placement), placement);
  }

  /** A load stops its worker for as long as many requests take in all, so it waits until nothing is booked there. */
  loadWanted(): void {
    for (const placement of this.#wanted.values()) if (this.#parts.isIdle(placement.worker)) void this.load(placement);
    for (const look of this.#waiting.splice(0)) look();
  }

  /**
   * As `load`, but when nothing is booked on the worker and no other worker is loading, which leaves one for requests where there are two;
   * and not if a request has had it loaded before that.
   */
  async loadWhenIdle(placement: Placement): Promise<void> {
    await this.#idle(placement);
    if (!this.#parts.engine.isWarm(placement)) await this.load(placement);
  }

  /** As long as that takes the worker is blocked as by a load. */
  async widenWhenIdle(placement: Placement): Promise<void> {
    await this.#idle(placement);
    const { engine, nowMs, log, onStart, onEnd, onWiden } = this.#parts;
    if (engine.widen === undefined || !engine.isWarm(placement)) return;
    const widened = engine.widen(placement).catch((error: unknown) => {
      log.warn({ ...placement, error }, 'widening failed');
      return false;
    });
    this.#loads.set(key(placement), { placement, startMs: nowMs(), done: widened.then(() => undefined) });
    onStart(placement);
    const isWider = await widened;
    this.#loads.delete(key(placement));
    onEnd(placement, undefined);
    if (isWider) onWiden(placement);
    this.loadWanted();
    if (isWider) await this.#measure(placement);
  }

  async #idle({ worker }: Placement): Promise<void> {
    while (this.#loads.size > 0 || !this.#parts.isIdle(worker)) await new Promise<void>((look) => this.#waiting.push(look));
  }

  /** Ends when the placement is warm and its tier measured; never rejects: a failure is logged, and the tier stays cold. */
  load(placement: Placement): Promise<void> {
    const under = this.#loads.get(key(placement));
    if (under !== undefined) return under.done;
    this.#wanted.delete(key(placement));
    const done = this.#load(placement);
    this.#loads.set(key(placement), { placement, startMs: this.#parts.nowMs(), done });
    this.#parts.onStart(placement);
    return done;
  }

  async #load(placement: Placement): Promise<void> {
    const { engine, nowMs, log, onEnd } = this.#parts;
    let loadMs: number | undefined;
    try {
      loadMs = await engine.load(placement);
      log.info({ ...placement, loadMs }, 'loaded');
    } catch (error) {
      this.#failedAtMs.set(key(placement), nowMs());
      log.warn({ ...placement, error }, 'load failed');
    }
    this.#loads.delete(key(placement));
    onEnd(placement, loadMs);
    this.loadWanted();
    if (loadMs !== undefined && !this.#parts.isMeasured(placement.tier)) await this.#measure(placement);
  }

  /** A prediction that refuses every request is corrected by none of them: an idle worker finds out by itself whether it still holds. */
  remeasure(placement: Placement): void {
    const { nowMs, isIdle } = this.#parts;
    if (!isIdle(placement.worker) || nowMs() - this.#remeasuredAtMs < REMEASURE_MS) return;
    this.#remeasuredAtMs = nowMs();
    void this.#measure(placement);
  }

  /** One worker at a time: two would measure each other. */
  async #measure(placement: Placement): Promise<void> {
    const { engine, nowMs, log, onProbe } = this.#parts;
    if (this.#measuring.has(placement.tier)) return;
    this.#measuring.add(placement.tier);
    try {
      for await (const result of calibrationProbes(engine, placement, nowMs)) onProbe(placement, result);
    } catch (error) {
      // What was believed before stays in use until the next request has been measured.
      log.warn({ ...placement, error }, 'calibration failed');
    } finally {
      this.#measuring.delete(placement.tier);
    }
  }
}

function key({ tier, worker }: Placement): string {
  return `${tier}/${worker}`;
}
