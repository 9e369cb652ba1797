/** `POST /v1/chat/completions`: the next reply of a chat, as one JSON body, or as a stream of server-sent events. */
import { createRoute } from '@hono/zod-openapi';
import { type ChatChunk, chatChunkSchema, type ChatCompletion, chatCompletionSchema, chatRequestSchema } from '../schema/chat.js';
import type { AnswerShape } from './answer.js';
import { readBody } from './body.js';
import { planChat } from './chat-plan.js';
import { type App, type AppDeps, arrivalOf } from './context.js';
import { errorResponses } from './documented-errors.js';
import { grammarOf } from './grammar.js';
import { inFlight } from './in-flight.js';
import { respond } from './respond.js';
import { chatLogprobs } from './tokens.js';

const route = createRoute({
  method: 'post',
  path: '/v1/chat/completions',
  summary: 'Reply in a chat with the largest tier tuned to chat that fits the latency budget',
  request: { body: { required: true, content: { 'application/json': { schema: chatRequestSchema } } } },
  responses: {
    200: {
      description: 'The reply; with `stream: true` as server-sent events, closed by `data: [DONE]`.',
      content: { 'application/json': { schema: chatCompletionSchema }, 'text/event-stream': { schema: chatChunkSchema } },
    },
    ...errorResponses(400, 401, 404, 413, 422, 429, 500, 503),
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
  app.openAPIRegistry.registerPath(route);
  app.post(route.path, function chatCompletions(c) {
    return inFlight(c, deps.drain, async (flight) => {
      const body = await readBody(c.req.raw, chatRequestSchema);
      const grammar = await grammarOf(body, deps.grammars);
      const plan = planChat(body, arrivalOf(c), deps.engine.manifests, deps.budgetDefaults, grammar);
      return respond(c, deps, plan, SHAPE, body, flight);
    });
  });
}
