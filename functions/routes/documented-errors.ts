import { errorSchema, problemSchema } from '../schema/error.js';
import type { ErrorStatus } from './api-error.js';

const DESCRIPTIONS: Record<ErrorStatus, string> = {
  400: 'A field is wrong; `param` names it.',
  401: 'No API key, or a wrong one.',
  404: 'No such model.',
  413: 'The body is larger than 1 MiB.',
  422: 'No tier can answer in the latency budget.',
  429: 'The server is busy; `retry-after-ms` says for how long.',
  500: 'The server failed.',
  503: 'Loading or shutting down.',
};

/** The error answers of a route, for the OpenAPI document. */
export function errorResponses(...statuses: readonly ErrorStatus[]) {
  const content = { 'application/json': { schema: errorSchema }, 'application/problem+json': { schema: problemSchema } };
  return Object.fromEntries(statuses.map((status) => [status, { description: DESCRIPTIONS[status], content }]));
}
