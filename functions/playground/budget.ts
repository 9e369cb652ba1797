/**
 * A slider's position, 0 to 1, as a latency budget and back: even steps are even factors, so that 30 ms and 3 s are as easy to hit.
 *
 * @module
 */
const LEAST_MS = 20;
const MOST_MS = 5_000;

export function budgetMsAt(position: number): number {
  const ms = LEAST_MS * (MOST_MS / LEAST_MS) ** Math.min(1, Math.max(0, position));
  // Two digits are as fine as anybody means.
  const unit = 10 ** (Math.floor(Math.log10(ms)) - 1);
  return Math.round(ms / unit) * unit;
}

export function positionOf(budgetMs: number): number {
  return Math.log(budgetMs / LEAST_MS) / Math.log(MOST_MS / LEAST_MS);
}

export function shownMs(ms: number): string {
  return ms < 1_000 ? `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
