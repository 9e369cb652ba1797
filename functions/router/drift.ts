/**
 * How much slower than its learnt costs the machine runs right now, as one product: a factor per worker (a neighbour took its core),
 * a factor per tier (its costs are stale) and one per tier for workers computing at the same time (they share memory bandwidth, and cores
 * that a tier alone on the machine takes).
 *
 * Kept as logarithms and corrected by normalised least mean squares: each request's surprise is split among the factors that could
 * explain it. A machine that turns twice as slow is believed after about three requests, and the tiers that have not run since are
 * corrected with it, because they share the worker's factor.
 */
export interface Drift {
  /** ln of each worker's factor. */
  readonly workers: readonly number[];
  /** ln of each tier's factor. */
  readonly tiers: Readonly<Record<string, number>>;
  /** ln of each tier's factor for one other worker being busy throughout. */
  readonly sharing: Readonly<Record<string, number>>;
}

const WORKER_STEP = 0.3;
const TIER_STEP = 0.1;
const SHARING_STEP = 0.05;
/** A surprise beyond e^0.7, twice as slow or fast, may be a hiccup: it counts only so much, and returns if it was real. */
const CLIP = 0.7;
/** Two workers streaming weights from the same memory, before it has been measured here. */
const PRIOR_SHARING = Math.log(1.2);

export function noDrift(workers: number): Drift {
  return { workers: Array.from({ length: workers }, () => 0), tiers: {}, sharing: {} };
}

/** @param othersBusy how many other workers compute meanwhile, on average: 0 to workers - 1. */
export function driftFactor(drift: Drift, tier: string, worker: number, othersBusy: number): number {
  return Math.exp((drift.workers[worker] ?? 0) + (drift.tiers[tier] ?? 0) + sharingOf(drift, tier) * othersBusy);
}

/** @param ratio measured over learnt cost, before any drift. */
export function learnDrift(drift: Drift, tier: string, worker: number, othersBusy: number, ratio: number): Drift {
  const surprise = Math.log(ratio / driftFactor(drift, tier, worker, othersBusy));
  const step = Math.min(CLIP, Math.max(-CLIP, surprise));
  return {
    workers: drift.workers.map((value, index) => (index === worker ? value + WORKER_STEP * step : value)),
    tiers: { ...drift.tiers, [tier]: (drift.tiers[tier] ?? 0) + TIER_STEP * step },
    sharing: { ...drift.sharing, [tier]: Math.min(Math.log(4), Math.max(0, sharingOf(drift, tier) + SHARING_STEP * othersBusy * step)) },
  };
}

function sharingOf({ sharing }: Drift, tier: string): number {
  return sharing[tier] ?? PRIOR_SHARING;
}
