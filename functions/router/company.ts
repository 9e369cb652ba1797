/**
 * Texts that join others of their tier: the worker decodes them side by side, so that they add only part of what they would take
 * alone. The ledger holds what each adds: the first of them its whole work, those behind it their share of runs that are full.
 */
import type { Booking } from './admit.js';
import { batchFactor } from './batch.js';
import type { TierModel } from './predict.js';

export interface Joining {
  readonly decodeMs: number;
  /** Texts in the runs that decode them, were no others there. */
  readonly rows: number;
  /** When all of it would be done if it were joined to nothing. */
  readonly endMs: number;
}

export interface Company {
  /** Part of `decodeMs` that is added. */
  readonly share: number;
  /** How much longer each run is. */
  readonly stretch: number;
}

const NONE: Company = { share: 1, stretch: 1 };

/** How many of a request's texts decode in one run. */
export function rowsOf(sharesRuns: boolean, generations: number, { mostRows }: Pick<TierModel, 'mostRows'>): number {
  return sharesRuns ? Math.min(generations, mostRows) : 1;
}

/** @param ahead bookings with earlier deadlines. */
export function companyIn(ahead: readonly Booking[], tier: string, { batch, mostRows }: Pick<TierModel, 'batch' | 'mostRows'>, { decodeMs, rows, endMs }: Joining): Company {
  const mates = ahead.filter(({ sharedTier }) => sharedTier === tier);
  const matesMs = mates.reduce((sum, { remainingMs }) => sum + remainingMs, 0);
  // The engine lets no text share runs to another's harm: they are surely shared only where all of it is done before the first deadline.
  if (matesMs === 0 || mates.some(({ deadlineAtMs }) => deadlineAtMs < endMs)) return NONE;
  const perRow = (count: number) => batchFactor(batch, count) / count;
  const joined = Math.min(decodeMs, matesMs) / Math.max(decodeMs, Number.MIN_VALUE);
  const crowd = Math.min(mostRows, rows + mates.length);
  return { share: 1 - joined * (1 - perRow(mostRows) / perRow(rows)), stretch: batchFactor(batch, crowd) / batchFactor(batch, rows) };
}
