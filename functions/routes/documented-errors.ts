import { errorSchema, problemSchema } from '../schema/error.js';
import { type ApiError, draining, type ErrorStatus, invalidField, methodNotAllowed, refused, unauthorized, unknownModel } from './api-error.js';
import { bodyTooLarge } from './body.js';
import { PROMISE, RATE_LIMITS, REQUEST_ID, RETRY } from './documented-headers.js';
import { asApiError, PROBLEM, problem } from './error-response.js';

const DESCRIPTIONS: Record<ErrorStatus, string> = {
  400: 'A field is wrong; `param` names it.',
  401: 'No API key, or a wrong one.',
  404: 'No such model.',
  405: 'The path is served, not by this method.',
  413: 'The body is larger than 1 MiB.',
  422: 'No tier can answer in the latency budget; `cheapest_feasible_ms` would do.',
  429: "The server is busy, or the key's limit is reached; `retry-after-ms` says for how long.",
  500: 'The server failed.',
  503: 'Loading, shutting down, or without a usable model.',
};

/** As the code makes them. */
const EXAMPLES: Record<ErrorStatus, ApiError> = {
  400: invalidField('temperature', 'Too big: expected number to be <=2'),
  401: unauthorized(),
  404: unknownModel('gpt-9'),
  405: methodNotAllowed('GET', '/v1/completions', ['POST']),
  413: bodyTooLarge(),
  422: refused({ kind: 'infeasible', cheapestMs: 9, tiers: [] }, { budgetMs: 5 }),
  429: refused({ kind: 'overloaded', retryAfterMs: 120, tiers: [] }, { budgetMs: 300 }),
  500: asApiError(undefined),
  503: draining(),
};

const header = (description: string, example: string) => ({ description, schema: { type: 'string' }, example });

/** Besides the limits of a key, which whatever was asked under it counts against. */
const HEADERS: Partial<Record<ErrorStatus, object>> = {
  401: { 'www-authenticate': header('How to authenticate.', 'Bearer') },
  405: { allow: header('The methods that it is served by.', 'POST') },
  // Also of a request that was admitted: what it had been promised.
  429: { ...RETRY, ...PROMISE },
  500: PROMISE,
  503: { ...RETRY, ...PROMISE },
};

/** The error answers of a route, for the OpenAPI document. */
export function errorResponses(...statuses: readonly ErrorStatus[]) {
  return Object.fromEntries(
    statuses.map((status) => {
      const example = EXAMPLES[status];
      const content = { 'application/json': { schema: errorSchema, example: example.body() }, [PROBLEM]: { schema: problemSchema, example: problem(example) } };
      return [status, { description: DESCRIPTIONS[status], headers: { ...REQUEST_ID, ...RATE_LIMITS, ...HEADERS[status] }, content }];
    }),
  );
}
