/**
 * How long the way to the origin and back takes, from what it took of late. Ranks, not a mean: an isolate that writes a text hears of an
 * answer only when its run is over, and that says nothing of the way.
 *
 * @module
 */
import { quantile, type Recent, recentFrom, remember } from '../router/recent.js';

/** Before anything has been measured: from one side of a continent to the other. */
export const UNMEASURED: Recent = recentFrom([60]);

/** What it takes longer than one time in five is an accident: the edge begins by itself if an answer is as late as that. */
const CAUTION = 0.8;

export function measured(before: Recent, ms: number): Recent {
  return before === UNMEASURED ? recentFrom([ms]) : remember(before, ms);
}

/** What it seldom exceeds. */
export function cautiousMs(network: Recent): number {
  return quantile(network, CAUTION);
}
