/**
 * Whether a failed request is worth another attempt, and when.
 *
 * @module
 */
import { ConnectionError, OverloadedError } from './errors.js';

export interface Attempt {
  /** Attempts made so far, at least 1. */
  readonly made: number;
  readonly maxRetries: number;
  /** Of the latency budget; Infinity without one. */
  readonly remainingMs: number;
  /** [0, 1): spreads the retries of clients that failed together. */
  readonly random: number;
}

const FIRST_DELAY_MS = 20;
const LONGEST_DELAY_MS = 2_000;

/** Milliseconds to wait before the next attempt; undefined: give up. A retry that could only come after the budget is none. */
export function retryDelayMs(error: unknown, { made, maxRetries, remainingMs, random }: Attempt): number | undefined {
  if (made > maxRetries || !(error instanceof OverloadedError || error instanceof ConnectionError)) return undefined;
  const backoffMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (made - 1)) * (0.5 + random / 2);
  // What the server asks for is a measurement of its queue; sooner would only be refused again.
  const delayMs = Math.max(backoffMs, error instanceof OverloadedError ? (error.retryAfterMs ?? 0) : 0);
  return delayMs < remainingMs ? delayMs : undefined;
}
