import type { Context } from 'hono';
import { EngineClosedError, TierQuarantinedError, TierUnavailableError, WorkerCrashedError } from '../engine/errors.js';
import { GrammarBusyError } from '../grammar/errors.js';
import { BudgetError } from '../router/budget.js';
import type { Problem } from '../schema/error.js';
import { ApiError, draining, invalidField, tierUnavailable } from './api-error.js';

export const PROBLEM = 'application/problem+json';
/** A grammar takes a tenth of a second; some wait. */
const COMPILE_RETRY_MS = 500;
/** A worker is back, warm, in under a second. */
const RESTART_MS = 1_000;

/** What a client may know of any failure: its own mistakes in full, ours not at all. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof BudgetError) return invalidField(error.field, error.message.replace(`${error.field}: `, ''));
  if (error instanceof TierQuarantinedError || error instanceof TierUnavailableError) {
    return tierUnavailable();
  }
  if (error instanceof WorkerCrashedError) {
    return new ApiError(503, 'worker_crashed', 'the worker that ran this request died; try again', { retryAfterMs: RESTART_MS });
  }
  if (error instanceof GrammarBusyError) return new ApiError(429, 'overloaded', error.message, { retryAfterMs: COMPILE_RETRY_MS });
  if (error instanceof EngineClosedError) return draining();
  return new ApiError(500, 'internal_error', 'the server failed to answer; the log has the reason');
}

export function errorResponse(c: Context, error: ApiError): Response {
  const { retryAfterMs, allow } = error.details;
  if (retryAfterMs !== undefined) {
    c.header('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1_000))));
    c.header('retry-after-ms', String(Math.ceil(retryAfterMs)));
  }
  if (allow !== undefined) c.header('allow', allow.join(', '));
  if (error.status === 401) c.header('www-authenticate', 'Bearer');
  const wantsProblem = (c.req.header('accept') ?? '').includes(PROBLEM);
  return wantsProblem ? c.body(JSON.stringify(problem(error)), error.status, { 'content-type': PROBLEM }) : c.json(error.body(), error.status);
}

export function problem(error: ApiError): Problem {
  const { message, code, param, cheapest_feasible_ms: cheapestMs } = error.body().error;
  return {
    type: `urn:stlm:error:${error.code}`,
    title: error.code.replaceAll('_', ' '),
    status: error.status,
    detail: message,
    code,
    param,
    ...(cheapestMs !== undefined && { cheapest_feasible_ms: cheapestMs }),
  };
}
