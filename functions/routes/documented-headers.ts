/** The headers of requests and answers, for the OpenAPI document. */
import { z } from '@hono/zod-openapi';
import { MAX_BUDGET_MS } from '../schema/budget.js';

const text = (description: string, example: string) => ({ description, schema: { type: 'string' as const }, example });
const count = (description: string, example: number) => ({ description, schema: { type: 'integer' as const, minimum: 0 }, example });

export const REQUEST_ID = {
  'x-request-id': text("The request's id, also in the log: the client's own if it sent one.", '7c2f0a4e-6c8e-4c53-9b8e-3f0a5d1c2b3a'),
  'x-stlm-release': text('Which release of the models answered; only where their store has releases.', '3fb10b6a7a1cd1ab'),
};

/** On everything under `/v1`. */
export const TRACE = { traceresponse: text("The answer's place in a trace, as W3C Trace Context has it: the caller's, if `traceparent` named one.", '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01') };

/** On whatever counts against a key's limits; absent where the key has none. */
export const RATE_LIMITS = Object.fromEntries(
  ['requests', 'tokens'].flatMap((measure) => [
    [`x-ratelimit-limit-${measure}`, count(`${measure} that the key allows in a minute; absent without such a limit.`, 600)],
    [`x-ratelimit-remaining-${measure}`, count('What is left of them.', 599)],
    [`x-ratelimit-reset-${measure}`, text('Until all of them are there again.', '59.8s')],
  ]),
);

/** Known before the first byte: a stream has them too. */
export const PROMISE = {
  'x-stlm-model': text('The tier that writes the text.', 'stlm-100m'),
  'x-stlm-predicted-ms': { description: 'p95 of arrival to last byte, as predicted.', schema: { type: 'number' as const, minimum: 0 }, example: 73.5 },
  'x-stlm-route-reason': text('Why that tier.', 'fits'),
};

/** A stream says the same in the `stlm` object of its last chunk. */
export const TIMINGS = {
  'server-timing': text('Milliseconds by stage: queue, load, prefill, decode, total. Not on streams.', 'queue;dur=2.8, load;dur=0.0, prefill;dur=7.3, decode;dur=55.4, total;dur=68.3'),
  'openai-processing-ms': count('Arrival to last byte. Not on streams.', 68),
};

export const RETRY = {
  'retry-after': count('Seconds to stay away, at least 1.', 1),
  'retry-after-ms': count('The same in milliseconds: what the openai packages read first.', 120),
};

/** Where a budget may stand besides the body and the model's name. */
export const budgetHeaders = z.object({
  'x-latency-budget-ms': z.number().positive().max(MAX_BUDGET_MS).optional().meta({
    description: 'The latency budget, if the body names none.',
    param: { in: 'header', example: 300 },
  }),
  prefer: z.string().optional().meta({
    description: 'RFC 7240: `wait=2` is a latency budget of two seconds, if neither the body, the header above nor the model names one.',
    param: { in: 'header', example: 'wait=2' },
  }),
  'x-stainless-timeout': z.string().optional().meta({
    description: 'What the openai packages send as their timeout, in seconds: a latency budget too, unless it is their default of 600.',
    param: { in: 'header', example: '5' },
  }),
});
