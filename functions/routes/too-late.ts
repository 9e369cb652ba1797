import type { GenerateResult } from '../engine/types.js';
import type { Decision, Router, RouteRequest } from '../router/types.js';
import { type ApiError, draining, refused } from './api-error.js';

/** Cut by its budget, or by a server that could wait no longer. */
const isEmpty = ({ stopCause, completionBytes }: GenerateResult): boolean => (stopCause === 'deadline' || stopCause === 'cancelled') && completionBytes === 0;

/**
 * What to say when the budget ran out before any choice had text, or before one was scored: an empty 200 would pass for an answer, and half
 * of a score for a score. Undefined if there is text, or if its absence is the model's own wish.
 */
export function tooLate(
  results: readonly GenerateResult[],
  { placement }: Decision,
  route: RouteRequest,
  { router, nowMs }: { readonly router: Pick<Router, 'explain'>; readonly nowMs: () => number },
): ApiError | undefined {
  if (route.scoredPatches === undefined ? !results.every(isEmpty) : !results.some(isEmpty)) return undefined;
  if (results.some(({ stopCause }) => stopCause === 'cancelled')) return draining();
  const { tiers } = router.explain({ ...route, arrivalMs: nowMs() });
  const { waitMs = 0, loadMs = 0 } = tiers.find(({ tier }) => tier === placement.tier) ?? {};
  const neverWarm = results.some(({ promptPatches }) => promptPatches === 0);
  return refused({ kind: neverWarm ? 'loading' : 'overloaded', retryAfterMs: waitMs + loadMs, tiers }, route);
}
