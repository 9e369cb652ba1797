/** `POST /v1/completions`: as one JSON body, or as a stream of server-sent events. */
import { createRoute } from '@hono/zod-openapi';
import { type Completion, type CompletionChunk, completionChunkSchema, completionRequestSchema, completionSchema } from '../schema/completion.js';
import { unaliased } from './aliases.js';
import type { AnswerShape } from './answer.js';
import { readBody } from './body.js';
import { planCompletion } from './completion-plan.js';
import { type App, type AppDeps, arrivalOf } from './context.js';
import { errorResponses } from './documented-errors.js';
import { budgetHeaders, PROMISE, RATE_LIMITS, REQUEST_ID, TIMINGS, TRACE } from './documented-headers.js';
import { eventStream } from './documented-stream.js';
import { COMPLETION, COMPLETION_CHUNK, COMPLETION_REQUESTS } from './examples.js';
import { grammarOf } from './grammar.js';
import { inFlight } from './in-flight.js';
import { respond } from './respond.js';
import { completionLogprobs } from './tokens.js';

const route = createRoute({
  method: 'post',
  path: '/v1/completions',
  operationId: 'createCompletion',
  tags: ['Text'],
  summary: 'Continue a text with the largest tier that fits the latency budget',
  request: { headers: budgetHeaders, body: { required: true, content: { 'application/json': { schema: completionRequestSchema, examples: COMPLETION_REQUESTS } } } },
  responses: {
    200: {
      description: 'The continuation; with `stream: true` as server-sent events, closed by `data: [DONE]`.',
      headers: { ...REQUEST_ID, ...TRACE, ...PROMISE, ...TIMINGS, ...RATE_LIMITS },
      content: { 'application/json': { schema: completionSchema, example: COMPLETION }, ...eventStream('CompletionChunk', COMPLETION_CHUNK) },
    },
    ...errorResponses(400, 401, 404, 405, 413, 422, 429, 500, 503),
  },
});

const SHAPE: AnswerShape = {
  idPrefix: 'cmpl',
  object: 'text_completion' satisfies Completion['object'],
  chunkObject: 'text_completion' satisfies CompletionChunk['object'],
  choice: (index, { text, tokens }, finishReason): Completion['choices'][number] => ({
    text,
    index,
    logprobs: tokens ? completionLogprobs(tokens) : null,
    finish_reason: finishReason,
  }),
  chunkChoice: (index, { text, tokens = [] }, finishReason): CompletionChunk['choices'][number] => ({
    text,
    index,
    logprobs: tokens.length > 0 ? completionLogprobs(tokens) : null,
    finish_reason: finishReason,
  }),
};

export function registerCompletions(app: App, deps: AppDeps): void {
  app.openAPIRegistry.register('CompletionChunk', completionChunkSchema);
  app.openAPIRegistry.registerPath(route);
  app.post(route.path, function completions(c) {
    return inFlight(c, deps.drain, async (flight) => {
      const body = unaliased(await readBody(c.req.raw, completionRequestSchema), deps.aliases);
      const grammar = await grammarOf(body, deps.grammars, flight.signal);
      const plan = planCompletion(body, arrivalOf(c), deps.engine.manifests, deps.budgetDefaults, grammar);
      return respond(c, deps, plan, SHAPE, body, flight);
    });
  });
}
