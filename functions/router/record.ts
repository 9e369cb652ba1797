/** What the router knew and decided, in the form of the decision log. */
import type { DecisionRecord, OutcomeRecord } from '../schema/decision-log.js';
import { backlogMs } from './admit.js';
import type { Placements } from './choose.js';
import type { Evaluation, Surroundings } from './evaluate.js';
import type { Decision, Outcome, Refusal, RouteRequest } from './types.js';

export interface Considered {
  readonly request: RouteRequest;
  readonly around: Surroundings;
  readonly tiers: readonly Placements<Evaluation>[];
  readonly policy: string;
  readonly answer: Decision | Refusal;
}

export function decisionRecord({ request, around, tiers, policy, answer }: Considered): DecisionRecord {
  const { id, eligible: _eligible, ...asked } = request;
  const admitted = answer.kind === 'admitted' ? answer : undefined;
  return {
    event: 'decision',
    atMs: around.nowMs,
    id,
    ticket: admitted?.ticket ?? null,
    policy,
    request: asked,
    workers: around.ledgers.map((ledger) => ({ bookings: ledger.bookings.length, backlogMs: backlogMs(ledger, around.nowMs) })),
    allowedMs: around.headroom.allowedMs,
    tiers: tiers.map(([first, ...others]) => [logged(first), ...others.map(logged)]),
    outcome: answer.kind,
    chosen: admitted === undefined ? null : { ...admitted.placement, reason: admitted.reason },
  };
}

function logged(evaluation: Evaluation): DecisionRecord['tiers'][number][number] {
  const { tier, worker, available, warm, reach, crowds, affordable } = evaluation;
  const { waitMs, loadMs, prefillMs, decodeMs, expectedMs, predictedMs, workMs, backlogMs } = evaluation;
  const times = { waitMs, loadMs, prefillMs, decodeMs, expectedMs, predictedMs, workMs, backlogMs };
  return { tier, worker, available, warm, reach, crowds, affordable, ...times };
}

export function outcomeRecord(
  { request, decision }: { readonly request: RouteRequest; readonly decision: Decision },
  outcome: Outcome,
  { nowMs, othersBusy }: { readonly nowMs: number; readonly othersBusy: number },
): OutcomeRecord {
  const { ticket, placement } = decision;
  const actualMs = nowMs - request.arrivalMs;
  return { event: 'outcome', atMs: nowMs, id: request.id, ticket, ...placement, actualMs, othersBusy, result: resultOf(outcome) };
}

function resultOf(outcome: Outcome): OutcomeRecord['result'] {
  if (outcome.kind === 'failed') return null;
  const { stopCause, promptPatches, completionBytes, decodedPatches, timings } = outcome.result;
  return { stopCause, promptPatches, completionBytes, decodedPatches, timings };
}
