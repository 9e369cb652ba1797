/** `POST /v1/chat/completions`: the next reply of a chat, as one JSON body, or as a stream of server-sent events. */
import { createRoute } from '@hono/zod-openapi';
import { type ChatChunk, chatChunkSchema, type ChatCompletion, chatCompletionSchema, chatRequestSchema } from '../schema/chat.js';
import { unaliased } from './aliases.js';
import type { AnswerShape } from './answer.js';
import { readBody } from './body.js';
import { planChat } from './chat-plan.js';
import { type App, type AppDeps, arrivalOf } from './context.js';
import { errorResponses } from './documented-errors.js';
import { budgetHeaders, PROMISE, RATE_LIMITS, REQUEST_ID, TIMINGS, TRACE } from './documented-headers.js';
import { eventStream } from './documented-stream.js';
import { CHAT_CHUNK, CHAT_COMPLETION, CHAT_REQUESTS } from './examples.js';
import { grammarOf } from './grammar.js';
import { inFlight } from './in-flight.js';
import { respond } from './respond.js';
import { chatLogprobs } from './tokens.js';

const route = createRoute({
  method: 'post',
  path: '/v1/chat/completions',
  operationId: 'createChatCompletion',
  tags: ['Text'],
  summary: 'Reply in a chat with the largest tier tuned to chat that fits the latency budget',
  request: { headers: budgetHeaders, body: { required: true, content: { 'application/json': { schema: chatRequestSchema, examples: CHAT_REQUESTS } } } },
  responses: {
    200: {
      description: 'The reply; with `stream: true` as server-sent events, closed by `data: [DONE]`.',
      headers: { ...REQUEST_ID, ...TRACE, ...PROMISE, ...TIMINGS, ...RATE_LIMITS },
      content: { 'application/json': { schema: chatCompletionSchema, example: CHAT_COMPLETION }, ...eventStream('ChatCompletionChunk', CHAT_CHUNK) },
    },
    ...errorResponses(400, 401, 404, 405, 413, 422, 429, 500, 503),
  },
});

type Choice = ChatCompletion['choices'][number];
type ChunkChoice = ChatChunk['choices'][number];

const SHAPE: AnswerShape = {
  idPrefix: 'chatcmpl',
  object: 'chat.completion' satisfies ChatCompletion['object'],
  chunkObject: 'chat.completion.chunk' satisfies ChatChunk['object'],
  choice: (index, { text: content, tokens }, finishReason): Choice => ({
    index,
    message: { role: 'assistant', content, refusal: null },
    logprobs: tokens ? chatLogprobs(tokens) : null,
    finish_reason: finishReason,
  }),
  chunkOpening: (index): ChunkChoice => ({ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }),
  chunkChoice: (index, { text: content, tokens = [] }, finishReason): ChunkChoice => ({
    index,
    delta: content === '' ? {} : { content },
    logprobs: content !== '' && tokens.length > 0 ? chatLogprobs(tokens) : null,
    finish_reason: finishReason,
  }),
};

export function registerChatCompletions(app: App, deps: AppDeps): void {
  app.openAPIRegistry.register('ChatCompletionChunk', chatChunkSchema);
  app.openAPIRegistry.registerPath(route);
  app.post(route.path, function chatCompletions(c) {
    return inFlight(c, deps.drain, async (flight) => {
      const body = unaliased(await readBody(c.req.raw, chatRequestSchema), deps.aliases);
      const grammar = await grammarOf(body, deps.grammars, flight.signal);
      const plan = planChat(body, arrivalOf(c), deps.engine.manifests, deps.budgetDefaults, grammar);
      return respond(c, deps, plan, SHAPE, body, flight);
    });
  });
}
