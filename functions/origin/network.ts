/**
 * How long the way to the origin and back takes, from what it took: a smoothed mean and as much above it as it scatters, the way TCP
 * bounds its round trips (RFC 6298, section 2).
 *
 * @module
 */

export interface Network {
  readonly meanMs: number;
  readonly deviationMs: number;
}

const MEAN_SHARE = 1 / 8;
const DEVIATION_SHARE = 1 / 4;
const DEVIATIONS = 4;

/** Before anything has been measured: from one side of a continent to the other. */
export const UNMEASURED: Network = { meanMs: 40, deviationMs: 5 };

export function measured(before: Network, ms: number): Network {
  if (before === UNMEASURED) return { meanMs: ms, deviationMs: ms / 2 };
  return {
    deviationMs: before.deviationMs + DEVIATION_SHARE * (Math.abs(before.meanMs - ms) - before.deviationMs),
    meanMs: before.meanMs + MEAN_SHARE * (ms - before.meanMs),
  };
}

/** What it hardly ever exceeds. */
export function cautiousMs({ meanMs, deviationMs }: Network): number {
  return meanMs + DEVIATIONS * deviationMs;
}
