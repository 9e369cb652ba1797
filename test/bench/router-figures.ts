/** What a replayed load says about the router. */
import type { DecisionRecord, LogRecord, OutcomeRecord } from '../../functions/schema/decision-log.js';
import type { Answer } from '../load/client.js';
import type { TraceRequest } from '../load/trace.js';
import { quantile } from './statistics.js';

export interface Replayed {
  readonly request: TraceRequest;
  readonly answer: Answer;
  /** Tier indices, ascending by size; -1: none. */
  readonly idleOracle: number;
  readonly capacityOracle: number;
}

export interface RouterFigures {
  readonly offered: number;
  /** Of the requests, by HTTP status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Of admitted requests: whole answer within budget + 10 ms, as the client saw it. */
  readonly withinBudget: number;
  /** Of admitted requests: let in, and refused when no text had come in time. */
  readonly withoutText: number;
  /** Of all offered requests that some tier could have served in time: answered within budget + 10 ms. */
  readonly servedInBudget: number;
  /** Of all offered: refused at once with 429 or 503. */
  readonly shed: number;
  readonly shedAnswerP50Ms: number;
  readonly shedAnswerP99Ms: number;
  /** Bytes of text per second that came in time. */
  readonly goodputBytesPerSecond: number;
  readonly goodputRequestsPerSecond: number;
  /** Of answered requests: the text was cut by its deadline. */
  readonly cutByDeadline: number;
  readonly againstIdleOracle: AgainstOracle;
  readonly againstCapacityOracle: AgainstOracle;
  readonly reasons: Readonly<Record<string, number>>;
  readonly tiers: readonly TierFigures[];
}

export interface AgainstOracle {
  /** Of answered requests that it serves: on its tier, or a larger one. */
  readonly onItsTier: number;
  /** Tier steps below it, mean over the same. */
  readonly regret: number;
  /** Steps of all offered requests over its own: the smallest tier counts one, no answer none. */
  readonly stepsShare: number;
}

export interface TierFigures {
  readonly tier: string;
  readonly requests: number;
  /** Expected against actual time, arrival to last byte: share of the actual. */
  readonly errorP50: number;
  readonly errorP95: number;
  /** The same of the compute alone, given who else computed. NaN without the server's decision log. */
  readonly computeErrorP50: number;
  readonly computeErrorP95: number;
  /** The expected over the actual time, median: below 1 is hopeful. */
  readonly bias: number;
  /** Share of requests that took longer than the p95 they were promised. */
  readonly overPredicted: number;
}

/** What a client allows beyond the budget: its own and the network's time. */
export const GRACE_MS = 10;

export interface Measured {
  readonly replayed: readonly Replayed[];
  readonly tiers: readonly string[];
  readonly durationMs: number;
  readonly log: readonly LogRecord[];
}

export function routerFigures({ replayed, tiers, durationMs, log }: Measured): RouterFigures {
  const answered = replayed.filter(({ answer }) => answer.status === 200);
  const withoutText = replayed.filter(({ answer }) => answer.status !== 200 && answer.admitted);
  const admitted = [...answered, ...withoutText];
  const shed = replayed.filter(({ answer }) => (answer.status === 429 || answer.status === 503) && !answer.admitted);
  const feasible = replayed.filter(({ idleOracle }) => idleOracle >= 0);
  const inBudget = ({ request, answer }: Replayed) => answer.status === 200 && answer.latencyMs <= request.budgetMs + GRACE_MS;
  const good = answered.filter(inBudget);
  const sizeOf = ({ answer }: Replayed) => (answer.status === 200 ? tiers.indexOf(answer.report!.tier) : -1);
  const shedMs = shed.map(({ answer }) => answer.latencyMs);
  const seconds = durationMs / 1_000;
  return {
    offered: replayed.length,
    statuses: counted(replayed.map(({ answer }) => String(answer.status))),
    withinBudget: share(admitted, inBudget),
    withoutText: withoutText.length / admitted.length,
    servedInBudget: share(feasible, inBudget),
    shed: shed.length / replayed.length,
    shedAnswerP50Ms: quantile(shedMs, 0.5),
    shedAnswerP99Ms: quantile(shedMs, 0.99),
    goodputBytesPerSecond: sum(good.map(({ answer }) => answer.completionBytes)) / seconds,
    goodputRequestsPerSecond: good.length / seconds,
    cutByDeadline: share(answered, ({ answer }) => answer.report?.stop_cause === 'deadline'),
    againstIdleOracle: against(replayed, sizeOf, ({ idleOracle }) => idleOracle),
    againstCapacityOracle: against(replayed, sizeOf, ({ capacityOracle }) => capacityOracle),
    reasons: counted(answered.map(({ answer }) => answer.report!.route_reason)),
    tiers: tiers.map((tier) => tierFigures(tier, answered.filter(({ answer }) => answer.report?.tier === tier), computeErrors(log))),
  };
}

function against(replayed: readonly Replayed[], sizeOf: (one: Replayed) => number, oracleOf: (one: Replayed) => number): AgainstOracle {
  const both = replayed.filter((one) => sizeOf(one) >= 0 && oracleOf(one) >= 0);
  return {
    onItsTier: share(both, (one) => sizeOf(one) >= oracleOf(one)),
    regret: sum(both.map((one) => Math.max(0, oracleOf(one) - sizeOf(one)))) / both.length,
    stepsShare: sum(replayed.map((one) => sizeOf(one) + 1)) / sum(replayed.map((one) => oracleOf(one) + 1)),
  };
}

function tierFigures(tier: string, served: readonly Replayed[], computeErrorOf: ReadonlyMap<string, number>): TierFigures {
  const reports = served.map(({ answer }) => answer.report!);
  const errors = reports.map(({ expected_ms, actual_ms }) => Math.abs(expected_ms - actual_ms) / actual_ms);
  const computeErrors = served.map(({ answer }) => computeErrorOf.get(answer.requestId ?? '')).filter((error) => error !== undefined);
  return {
    tier,
    requests: served.length,
    errorP50: quantile(errors, 0.5),
    errorP95: quantile(errors, 0.95),
    computeErrorP50: quantile(computeErrors, 0.5),
    computeErrorP95: quantile(computeErrors, 0.95),
    bias: quantile(reports.map(({ expected_ms, actual_ms }) => expected_ms / actual_ms), 0.5),
    overPredicted: share(reports, ({ predicted_ms, actual_ms }) => actual_ms > predicted_ms),
  };
}

/** By request: of the compute of a text that was not cut. */
function computeErrors(log: readonly LogRecord[]): ReadonlyMap<string, number> {
  const decisions = new Map(log.filter((line): line is DecisionRecord => line.event === 'decision').map((line) => [line.id, line]));
  const whole = log.filter((line): line is OutcomeRecord => line.event === 'outcome' && line.result !== null && line.result.stopCause !== 'deadline');
  return new Map(
    whole.flatMap(({ id, tier, worker, result }) => {
      const candidate = decisions.get(id)?.tiers.flat().find((one) => one.tier === tier && one.worker === worker);
      const actualMs = result!.timings.prefillMs + result!.timings.decodeMs;
      return candidate === undefined ? [] : [[id, Math.abs(candidate.workMs / actualMs - 1)] as const];
    }),
  );
}

function share<T>(of: readonly T[], holds: (one: T) => boolean): number {
  return of.filter(holds).length / of.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function counted(keys: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}
