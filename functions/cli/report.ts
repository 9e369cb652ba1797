import type { Completion } from '../client/index.js';

/** Beside the text, so that standard output has the text alone. */
export function writeReport({ tier, route_reason: reason, stop_cause: cause, actual_ms: actualMs, budget_ms: budgetMs, bytes_per_second: rate }: Completion['stlm']): void {
  process.stderr.write(`${tier} (${reason}) ended by ${cause} after ${actualMs} of ${budgetMs} ms, ${rate} bytes/s\n`);
}
