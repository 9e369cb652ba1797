/** The last few values of a measured quantity, oldest first, for quantiles that follow the machine. */
export interface Recent {
  readonly values: readonly number[];
  readonly size: number;
}

/** Starts full of `prior`, so that a quantile means something from the first request on; measurements push the prior out. */
export function recentFrom(prior: readonly number[]): Recent {
  return { values: prior, size: Math.max(prior.length, WINDOW) };
}

const WINDOW = 64;

export function remember(recent: Recent, value: number): Recent {
  return { ...recent, values: [...recent.values, value].slice(-recent.size) };
}

export function quantile(recent: Recent, share: number): number {
  const ordered = recent.values.toSorted((a, b) => a - b);
  const at = share * (ordered.length - 1);
  const below = ordered[Math.floor(at)] ?? 0;
  const above = ordered[Math.ceil(at)] ?? below;
  return below + (above - below) * (at - Math.floor(at));
}
