import type { z } from '@hono/zod-openapi';
import type { Refusal, RouteRequest } from '../router/types.js';
import type { ErrorBody } from '../schema/error.js';

export type ErrorStatus = 400 | 401 | 404 | 405 | 413 | 422 | 429 | 500 | 503;

interface Details {
  /** The request field at fault. */
  readonly param?: string;
  readonly retryAfterMs?: number;
  readonly cheapestFeasibleMs?: number;
  /** The methods that the path is served by. */
  readonly allow?: readonly string[];
}

/** A failure the client can act on. Thrown where it is known; `error-response.ts` turns it into an answer. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  constructor(
    readonly status: ErrorStatus,
    readonly code: string,
    message: string,
    readonly details: Details = {},
  ) {
    super(message);
  }

  body(): ErrorBody {
    const { param, cheapestFeasibleMs } = this.details;
    return {
      error: {
        message: this.message,
        type: TYPES[this.status],
        param: param ?? null,
        code: this.code,
        ...(cheapestFeasibleMs !== undefined && { cheapest_feasible_ms: cheapestFeasibleMs }),
      },
    };
  }
}

const TYPES: Record<ErrorStatus, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'invalid_request_error',
  405: 'invalid_request_error',
  413: 'invalid_request_error',
  422: 'invalid_request_error',
  429: 'rate_limit_error',
  500: 'server_error',
  503: 'server_error',
};

export function invalidField(field: string, message: string): ApiError {
  return new ApiError(400, 'invalid_value', `${field}: ${message}`, { param: field });
}

/** Names the first field that failed: `stop.2` is reported as the field `stop` with the path in the message. */
export function fromIssues(error: z.ZodError): ApiError {
  const issue = error.issues[0];
  const [field] = issue?.path ?? [];
  if (issue === undefined || field === undefined) {
    return new ApiError(400, 'invalid_body', `the request body: ${issue?.message ?? 'not valid'}`);
  }
  // zod keeps what is wrong with a key one level down.
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return new ApiError(400, 'invalid_value', `${issue.path.join('.')}: ${message}`, { param: String(field) });
}

export function unauthorized(): ApiError {
  return new ApiError(401, 'invalid_api_key', 'no valid API key: send one as "Authorization: Bearer KEY"');
}

export function notFound(method: string, path: string): ApiError {
  return new ApiError(404, 'not_found', `no such endpoint: ${method} ${path}`);
}

export function methodNotAllowed(method: string, path: string, allow: readonly string[]): ApiError {
  return new ApiError(405, 'method_not_allowed', `${path} is not served by ${method}, but by ${allow.join(', ')}`, { allow });
}

export function unknownModel(model: string): ApiError {
  return new ApiError(404, 'model_not_found', `the model ${JSON.stringify(model)} does not exist; see GET /v1/models`, { param: 'model' });
}

export function notAChatModel(model: string): ApiError {
  return new ApiError(400, 'model_not_chat', `${JSON.stringify(model)} has no model that was tuned to chat; see GET /v1/models`, { param: 'model' });
}

export function noInfillModel(model: string): ApiError {
  return new ApiError(400, 'model_not_infill', `suffix: ${JSON.stringify(model)} has no model that was trained to fill gaps; see GET /v1/models`, { param: 'suffix' });
}

/** How long a client should stay away from a server that is shutting down. */
const DRAIN_RETRY_MS = 1_000;

export function draining(): ApiError {
  return new ApiError(503, 'draining', 'the server is shutting down', { retryAfterMs: DRAIN_RETRY_MS });
}

/** A tier that failed to load is tried again within this time, one that found no memory may find some; a broken one needs an operator. */
const UNAVAILABLE_RETRY_MS = 5_000;

export function tierUnavailable(): ApiError {
  return new ApiError(503, 'tier_unavailable', 'no usable model: see GET /readyz', { retryAfterMs: UNAVAILABLE_RETRY_MS });
}

export function refused(refusal: Refusal, { budgetMs }: Pick<RouteRequest, 'budgetMs'>): ApiError {
  switch (refusal.kind) {
    case 'infeasible': {
      const cheapestMs = Math.ceil(refusal.cheapestMs);
      // A whole budget that would do leaves only that of the first byte.
      const param = cheapestMs <= budgetMs ? 'ttft_budget_ms' : 'latency_budget_ms';
      return new ApiError(422, 'latency_budget_infeasible', `no tier can answer in that budget; the cheapest feasible one is ${cheapestMs} ms`, {
        param,
        cheapestFeasibleMs: cheapestMs,
      });
    }
    case 'overloaded':
      return new ApiError(429, 'overloaded', 'the server is busy: the text would come too late for its budget', {
        retryAfterMs: refusal.retryAfterMs,
      });
    case 'loading':
      return new ApiError(503, 'loading', 'the model is still loading', { retryAfterMs: refusal.retryAfterMs });
    case 'unavailable':
      return tierUnavailable();
  }
}
