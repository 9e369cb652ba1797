/** What a replayed load says about the router. */
import type { Answer } from '../load/client.js';
import type { MixedRequest } from '../load/mix.js';
import { largestFeasible, type ServiceTime } from './service-times.js';
import { quantile } from './statistics.js';

export interface Replayed {
  readonly request: MixedRequest;
  readonly answer: Answer;
}

export interface RouterFigures {
  readonly offered: number;
  /** Of the requests, by HTTP status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Of admitted requests: whole answer within budget + 10 ms, as the client saw it. */
  readonly withinBudget: number;
  /** Of all offered requests that some tier could have served in time: answered within budget + 10 ms. */
  readonly servedInBudget: number;
  /** Of all offered: 429 and 503. */
  readonly shed: number;
  readonly shedAnswerP99Ms: number;
  /** Of admitted requests: the text was cut by its deadline. */
  readonly cutByDeadline: number;
  /** Of admitted requests: on the largest tier that an idle server would have finished in time, or a larger one. */
  readonly onLargestFeasible: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly tiers: readonly TierFigures[];
}

export interface TierFigures {
  readonly tier: string;
  readonly requests: number;
  /** Of the expected against the actual time, as the server measured it: share of the actual. */
  readonly errorP50: number;
  readonly errorP95: number;
  /** Share of requests that took longer than the p95 they were promised. */
  readonly overPredicted: number;
}

/** What a client allows beyond the budget: its own and the network's time. */
export const GRACE_MS = 10;

export function routerFigures(replayed: readonly Replayed[], oracle: readonly ServiceTime[]): RouterFigures {
  const admitted = replayed.filter(({ answer }) => answer.status === 200);
  const refused = replayed.filter(({ answer }) => answer.status === 429 || answer.status === 503);
  const feasible = replayed.filter(({ request }) => largestFeasible(oracle, request) !== undefined);
  const inBudget = ({ request, answer }: Replayed) => answer.status === 200 && answer.latencyMs <= request.budgetMs + GRACE_MS;
  const size = (tier: string | undefined) => oracle.findIndex((time) => time.tier === tier);
  const largest = ({ request, answer }: Replayed) => size(answer.report?.tier) >= size(largestFeasible(oracle, request));
  return {
    offered: replayed.length,
    statuses: counted(replayed.map(({ answer }) => String(answer.status))),
    withinBudget: share(admitted, inBudget),
    servedInBudget: share(feasible, inBudget),
    shed: refused.length / replayed.length,
    shedAnswerP99Ms: quantile(refused.map(({ answer }) => answer.latencyMs), 0.99),
    cutByDeadline: share(admitted, ({ answer }) => answer.report?.stop_cause === 'deadline'),
    onLargestFeasible: share(admitted, largest),
    reasons: counted(admitted.map(({ answer }) => answer.report!.route_reason)),
    tiers: oracle.map(({ tier }) => tierFigures(tier, admitted.filter(({ answer }) => answer.report?.tier === tier))),
  };
}

function tierFigures(tier: string, served: readonly Replayed[]): TierFigures {
  const reports = served.map(({ answer }) => answer.report!);
  const errors = reports.map(({ expected_ms, actual_ms }) => Math.abs(expected_ms - actual_ms) / actual_ms);
  return {
    tier,
    requests: served.length,
    errorP50: quantile(errors, 0.5),
    errorP95: quantile(errors, 0.95),
    overPredicted: share(reports, ({ predicted_ms, actual_ms }) => actual_ms > predicted_ms),
  };
}

function share<T>(of: readonly T[], holds: (one: T) => boolean): number {
  return of.filter(holds).length / of.length;
}

function counted(keys: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}
