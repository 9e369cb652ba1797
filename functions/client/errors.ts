/**
 * What can go wrong with a request, one class for each thing a caller can do about it.
 *
 * @module
 */
import type { ErrorBody } from '../schema/error.js';

export class StlmError extends Error {
  override name = 'StlmError';
}

/** No answer: the server could not be reached, or the connection broke. `cause` says why. */
export class ConnectionError extends StlmError {
  override name = 'ConnectionError';
}

/** The answer is none of this API's: not JSON, or a stream that broke off without its end. */
export class ProtocolError extends StlmError {
  override name = 'ProtocolError';
}

/** The server answered with an error, before or in the middle of a stream. */
export class ApiError extends StlmError {
  override name = 'ApiError';
  /** `undefined` in a stream, whose status was sent before. */
  readonly status: number | undefined;
  readonly code: string | null;
  /** The request's field at fault. */
  readonly param: string | null;
  /** Quote it to whoever runs the server. */
  readonly requestId: string | undefined;

  constructor(message: string, { status, code, param, requestId }: ApiErrorFields) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.requestId = requestId;
  }
}

export interface ApiErrorFields {
  readonly status: number | undefined;
  readonly code: string | null;
  readonly param: string | null;
  readonly requestId: string | undefined;
}

/** 400, 413: the request is at fault, in the field `param`. */
export class InvalidRequestError extends ApiError {
  override name = 'InvalidRequestError';
}

/** 401: no key, or a wrong one. */
export class AuthenticationError extends ApiError {
  override name = 'AuthenticationError';
}

/** 404: no such model or endpoint. */
export class NotFoundError extends ApiError {
  override name = 'NotFoundError';
}

/** 422: no model is fast enough for the budget, not even on an idle server. */
export class BudgetInfeasibleError extends ApiError {
  override name = 'BudgetInfeasibleError';
  /** The smallest budget that would do. */
  readonly cheapestFeasibleMs: number | undefined;

  constructor(message: string, fields: ApiErrorFields, cheapestFeasibleMs: number | undefined) {
    super(message, fields);
    this.cheapestFeasibleMs = cheapestFeasibleMs;
  }
}

/** 429, 503: the server is full, loading or draining. It was retried for as long as the budget allowed. */
export class OverloadedError extends ApiError {
  override name = 'OverloadedError';
  /** How long the server asks to stay away. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, fields: ApiErrorFields, retryAfterMs: number | undefined) {
    super(message, fields);
    this.retryAfterMs = retryAfterMs;
  }
}

/** @param body parsed JSON of an answer that is not 2xx, or of an error line in a stream; anything at all. */
export function apiError(body: unknown, status: number | undefined, headers: Headers | undefined): ApiError {
  const error = isErrorBody(body) ? body.error : undefined;
  const message = error?.message ?? `the server answered ${status ?? 'with an error'}`;
  const requestId = headers?.get('x-request-id') ?? undefined;
  const fields = { status, code: error?.code ?? null, param: error?.param ?? null, requestId };
  switch (status) {
    case 400:
    case 413:
      return new InvalidRequestError(message, fields);
    case 401:
      return new AuthenticationError(message, fields);
    case 404:
      return new NotFoundError(message, fields);
    case 422:
      return new BudgetInfeasibleError(message, fields, error?.cheapest_feasible_ms);
    case 429:
    case 503:
      return new OverloadedError(message, fields, retryAfterMs(headers));
    default:
      return new ApiError(message, fields);
  }
}

function isErrorBody(body: unknown): body is ErrorBody {
  if (typeof body !== 'object' || body === null || !('error' in body)) return false;
  const { error } = body;
  return typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string';
}

/** `retry-after-ms` is finer than `Retry-After`, whose unit is the second (or a date, which this server never sends). */
function retryAfterMs(headers: Headers | undefined): number | undefined {
  const ms = Number.parseFloat(headers?.get('retry-after-ms') ?? '');
  if (ms >= 0) return ms;
  const seconds = Number.parseFloat(headers?.get('retry-after') ?? '');
  return seconds >= 0 ? seconds * 1_000 : undefined;
}
