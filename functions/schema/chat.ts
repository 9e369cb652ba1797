/**
 * `POST /v1/chat/completions`: what it takes and what it answers, in the shapes of the OpenAI API.
 *
 * @module
 */
import { z } from '@hono/zod-openapi';
import { answerFields, finishReason, stlmReportSchema, usageOfChunk, usageSchema } from './answer.js';
import { bounded, listOf } from './bounded.js';
import { chatLogprobsSchema } from './logprobs.js';
import { notYet } from './not-yet.js';
import { hasWordsOrForm, STREAM_OPTIONS_ISSUE, streamsIfOptions, tellsFew, textRequestFields, TOLD, TOLD_MESSAGE, WORDS_OR_FORM_ISSUE } from './request.js';

/** More turns than any context holds. */
export const MAX_MESSAGES = 1_024;
/** Of one message. */
const MAX_PARTS = 16;
const MAX_CHAT_LOGPROBS = 20;

/** Looks at no element: a megabyte of wrong ones would be a second of work. */
const none = z.custom((value) => Array.isArray(value) && value.length === 0).meta({ type: 'array', maxItems: 0 });

const textPart = z.object({ type: z.literal('text'), text: z.string() });

const content = z.union([z.string(), bounded(MAX_PARTS, z.array(textPart).min(1).max(MAX_PARTS))], {
  error: `expected a string, or an array of 1 to ${MAX_PARTS} parts of the type text`,
});

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content,
  /** Clients send an answer's message back as it came. */
  refusal: notYet(z.null()),
  name: notYet(z.null()),
  audio: notYet(z.null()),
  function_call: notYet(z.null()),
  tool_calls: notYet(none),
});

export type ChatMessage = z.infer<typeof message>;

/** What a message says; its parts are lines. */
export function textOfMessage({ content }: Pick<ChatMessage, 'content'>): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
}

export const isSystem = ({ role }: Pick<ChatMessage, 'role'>): boolean => role === 'system' || role === 'developer';

/**
 * The forms that chats had in training: the system's text first if at all, and a user's at the end, to be answered. Instructions alone
 * are what is to be answered.
 */
function checkOrder(messages: readonly ChatMessage[], context: z.core.$RefinementCtx): void {
  const issue = (index: number, field: string, text: string) => context.addIssue({ code: 'custom', path: [index, field], message: text });
  const late = messages.findIndex((one, index) => isSystem(one) && !isSystem(messages[index - 1] ?? one));
  if (late >= 0) issue(late, 'role', 'expected system and developer messages before all others');
  const last = messages.at(-1);
  if (last === undefined) return;
  if (last.role !== 'user' && !messages.every(isSystem)) issue(messages.length - 1, 'role', 'expected the last message to be of the user');
  else if (textOfMessage(last).trim() === '') issue(messages.length - 1, 'content', 'expected the last message to say something');
}

const messages = listOf(MAX_MESSAGES, message)
  .superRefine(checkOrder)
  .meta({ description: 'The chat so far, the question to answer last. What no longer fits the context is forgotten turn by turn, the system text last.' });

export const chatRequestSchema = z
  .object({
    ...textRequestFields,
    messages,
    logprobs: z.boolean().nullish().meta({ description: 'Tells how probable each byte of the reply was: a token is a byte.' }),
    top_logprobs: z.int().min(0).max(MAX_CHAT_LOGPROBS).nullish().meta({ description: `So many of the likeliest bytes beside each; with \`logprobs\` only. ${TOLD}` }),
    tools: notYet(none),
    tool_choice: notYet(z.literal('none')),
    parallel_tool_calls: notYet(z.boolean()),
    functions: notYet(none),
    function_call: notYet(z.literal('none')),
    modalities: notYet(z.custom((value) => Array.isArray(value) && value.length === 1 && value[0] === 'text').meta({ const: ['text'] })),
    audio: notYet(z.null()),
    prediction: notYet(z.null()),
    reasoning_effort: notYet(z.literal('none')),
    verbosity: notYet(z.literal('medium')),
    web_search_options: notYet(z.null()),
    store: notYet(z.literal(false)),
  })
  .refine(streamsIfOptions, STREAM_OPTIONS_ISSUE)
  .refine(hasWordsOrForm, WORDS_OR_FORM_ISSUE)
  .refine(({ logprobs, top_logprobs: top }) => !top || logprobs === true, { path: ['top_logprobs'], message: 'only allowed together with logprobs: true' })
  .refine((body) => body.logprobs !== true || tellsFew(body, body.n ?? 1, body.top_logprobs ?? 0), { path: ['top_logprobs'], message: TOLD_MESSAGE })
  .openapi('ChatCompletionRequest');

export type ChatRequest = z.infer<typeof chatRequestSchema>;

const id = z.string().meta({ example: 'chatcmpl-7c2f0a' });

export const chatCompletionSchema = z
  .object({
    id,
    object: z.literal('chat.completion'),
    ...answerFields,
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: chatLogprobsSchema.nullable(),
        finish_reason: finishReason,
      }),
    ),
    usage: usageSchema,
    stlm: stlmReportSchema,
  })
  .openapi('ChatCompletion');

/** One `data:` line of a stream: the role, then the content piece by piece, then the reason it ended, with the report. */
export const chatChunkSchema = z
  .object({
    id,
    object: z.literal('chat.completion.chunk'),
    ...answerFields,
    choices: z.array(
      z.object({
        index: z.int(),
        delta: z.object({ role: z.literal('assistant').optional(), content: z.string().optional() }),
        logprobs: chatLogprobsSchema.nullable(),
        finish_reason: finishReason.nullable(),
      }),
    ),
    usage: usageOfChunk,
    stlm: stlmReportSchema.optional(),
  })
  .openapi('ChatCompletionChunk');

export type ChatCompletion = z.infer<typeof chatCompletionSchema>;
export type ChatChunk = z.infer<typeof chatChunkSchema>;
