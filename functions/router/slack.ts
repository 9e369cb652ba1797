import { backlogMs, type WorkerLedger } from './admit.js';

/** Far enough to see a queue that eats common budgets, near enough that an idle worker beside a loading one still shows. */
const HORIZON_MS = 1_000;

/** @param ledgers brought up to now. Work beyond the horizon does not count: a worker cannot be busier than always. */
export function slack(ledgers: readonly WorkerLedger[], nowMs: number): number {
  const promised = ledgers.reduce((sum, ledger) => sum + Math.min(1, backlogMs(ledger, nowMs) / HORIZON_MS), 0);
  return 1 - promised / ledgers.length;
}
