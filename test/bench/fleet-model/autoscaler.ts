/** Knative's autoscaler on concurrency: a mean over a minute, and over six seconds when that asks for twice what is there. */
export interface AutoscalerSettings {
  /** Requests in flight that one replica is to have, on average. */
  readonly target: number;
  readonly least: number;
  readonly most: number;
}

export const TICK_MS = 2_000;
const STABLE_TICKS = 30;
const PANIC_TICKS = 3;
const PANIC_FACTOR = 2;
/** A panic lasts for a stable window after it was last called for, and takes nothing away. */
const PANIC_TICKS_LONG = 30;

export class Autoscaler {
  readonly #settings: AutoscalerSettings;
  #seen: number[] = [];
  #panicTicksLeft = 0;

  constructor(settings: AutoscalerSettings) {
    this.#settings = settings;
  }

  /** How many replicas there should be. @param concurrency mean since the last tick; @param replicas that there are, or are starting */
  tick(concurrency: number, replicas: number): number {
    const { target, least, most } = this.#settings;
    this.#seen = [concurrency, ...this.#seen].slice(0, STABLE_TICKS);
    const stable = Math.ceil(mean(this.#seen) / target);
    const panic = Math.ceil(mean(this.#seen.slice(0, PANIC_TICKS)) / target);
    this.#panicTicksLeft = panic >= PANIC_FACTOR * Math.max(1, replicas) ? PANIC_TICKS_LONG : this.#panicTicksLeft - 1;
    const wanted = this.#panicTicksLeft > 0 ? Math.max(panic, replicas) : stable;
    return Math.min(most, Math.max(least, wanted));
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
