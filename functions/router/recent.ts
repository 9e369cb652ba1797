/** The last few values of a measured quantity, for quantiles that follow the machine. */
export interface Recent {
  /** Oldest first. */
  readonly values: readonly number[];
  /** The same, smallest first: read at every request, changed only by observations. */
  readonly ordered: readonly number[];
}

const WINDOW = 64;

/** Starts with `prior`, so that a quantile means something from the first request on; measurements push the prior out. */
export function recentFrom(prior: readonly number[]): Recent {
  const values = prior.slice(-WINDOW);
  return { values, ordered: values.toSorted((a, b) => a - b) };
}

export function remember(recent: Recent, value: number): Recent {
  return recentFrom([...recent.values, value]);
}

/** Interpolated between the two nearest values; NaN of nothing. */
export function quantile({ ordered }: Recent, share: number): number {
  const at = share * (ordered.length - 1);
  const below = ordered[Math.floor(at)] ?? Number.NaN;
  const above = ordered[Math.ceil(at)] ?? below;
  return below + (above - below) * (at - Math.floor(at));
}
