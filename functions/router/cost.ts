/**
 * The cost of work with two ingredients, milliseconds = per[0] x count[0] + per[1] x count[1], learnt from what it really took.
 *
 * A Kalman filter for two slowly moving coefficients: recursive least squares whose certainty is never allowed to grow past the
 * point where it stops listening, nor its doubt past the prior's (no wind-up while one ingredient goes unseen). Residuals are
 * relative, because a 2 ms and a 2 s request are noisy in proportion.
 */
export interface Cost {
  /** Milliseconds per unit of each ingredient. */
  readonly per: Pair;
  /** Covariance of `per`, [var0, cov, var1]. */
  readonly covariance: readonly [number, number, number];
  /** Doubt at most: the standard deviation of each coefficient as a share of it, or of its first guess if that was more. */
  readonly spread: number;
  readonly guessed: Pair;
}

export type Pair = readonly [number, number];

/** Share by which one honest measurement scatters. */
const NOISE = 0.1;
/** Share of the greatest variance that returns with each measurement: about a hundred of them are remembered. */
const REFRESH = 0.002;
/** A residual beyond this is a hiccup (a page fault, a paused thread) and counts only this much. */
const CLIP = 0.5;

/** @param spread how far off `per` may be, as a share of it: a guess from another machine is 1, a measurement 0.2. */
export function guess(per: Pair, spread: number): Cost {
  return { per, covariance: [(per[0] * spread) ** 2, 0, (per[1] * spread) ** 2], spread, guessed: per };
}

export function costMs(cost: Cost, counts: Pair): number {
  return cost.per[0] * counts[0] + cost.per[1] * counts[1];
}

export function learn(cost: Cost, counts: Pair, measuredMs: number): Cost {
  const expectedMs = costMs(cost, counts);
  if (!(expectedMs > 0 && measuredMs > 0)) return cost;
  const x0 = counts[0] / expectedMs;
  const x1 = counts[1] / expectedMs;
  const [v0, c, v1] = widened(cost);
  const g0 = v0 * x0 + c * x1;
  const g1 = c * x0 + v1 * x1;
  const scale = NOISE ** 2 + g0 * x0 + g1 * x1;
  const residual = Math.min(CLIP, Math.max(-CLIP, measuredMs / expectedMs - 1));
  return {
    ...cost,
    // Work never has a negative price; a tenth of the old one is as far as a single measurement may cut it.
    per: [
      Math.max(cost.per[0] / 10, cost.per[0] + (g0 / scale) * residual),
      Math.max(cost.per[1] / 10, cost.per[1] + (g1 / scale) * residual),
    ],
    covariance: [v0 - (g0 * g0) / scale, c - (g0 * g1) / scale, v1 - (g1 * g1) / scale],
  };
}

function widened({ per, covariance: [v0, c, v1], spread, guessed }: Cost): readonly [number, number, number] {
  const most0 = (spread * Math.max(per[0], guessed[0])) ** 2;
  const most1 = (spread * Math.max(per[1], guessed[1])) ** 2;
  return [Math.min(most0, v0 + REFRESH * most0), c, Math.min(most1, v1 + REFRESH * most1)];
}
