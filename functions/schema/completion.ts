/**
 * `POST /v1/completions`: what it takes and what it answers, in the shapes of the OpenAI API. One source for validation, types
 * and the OpenAPI document.
 *
 * @module
 */
import { z } from '@hono/zod-openapi';
import { bounded } from './bounded.js';
import { notYet } from './not-yet.js';

export const DEFAULT_MAX_BYTES = 64;
export const MAX_BYTES = 4_096;
/** Texts per request: bounds what one request can ask of a worker. */
export const MAX_PROMPTS = 16;
const MAX_STOPS = 4;
/** Ten minutes: no client waits longer. */
export const MAX_BUDGET_MS = 600_000;

const byte = z.int().min(0).max(255);
/** Longer than any context; a text, which costs less to read, may be as long as a body. */
const MAX_PROMPT_NUMBERS = 65_536;
const bytes = bounded(MAX_PROMPT_NUMBERS, z.array(byte)).meta({ description: 'Raw bytes, each 0-255.' });

const severalPrompts = <T extends z.ZodType>(one: T) => bounded(MAX_PROMPTS, z.array(one).min(1).max(MAX_PROMPTS));

const prompt = z
  .union([z.string(), bytes, severalPrompts(z.string()), severalPrompts(bytes)], {
    error: `expected a string, an array of at most ${MAX_PROMPT_NUMBERS} bytes (0-255), or an array of 1 to ${MAX_PROMPTS} of either`,
  })
  .meta({ description: 'The text to continue. A string is read as UTF-8; several prompts give several choices.' });

const stopText = z.string().min(1).max(256);

const byteKey = z.string().regex(/^(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$/, 'expected byte values 0-255 as keys');

const budgetMs = z.number().positive().max(MAX_BUDGET_MS);

export const completionRequestSchema = z
  .object({
    model: z.string().min(1).max(64).meta({
      description: '`stlm-auto` routes by latency budget, also as `stlm-auto@80ms`; a tier id pins that tier.',
      example: 'stlm-auto',
    }),
    prompt,
    max_tokens: z.int().min(1).max(MAX_BYTES).nullish().meta({ description: `One token is one byte; ${DEFAULT_MAX_BYTES} if absent.` }),
    max_completion_tokens: z.int().min(1).max(MAX_BYTES).nullish().meta({ description: 'Read where `max_tokens` is absent.' }),
    temperature: z.number().min(0).max(2).nullish().meta({ description: '1 if absent; 0 is greedy.' }),
    top_p: z.number().gt(0).max(1).nullish(),
    top_k: z.int().min(0).max(256).nullish().meta({ description: '0 is off.' }),
    seed: z.int().nullish().meta({ description: 'The same seed on the same tier gives the same text.' }),
    stop: z
      .union([stopText, bounded(MAX_STOPS, z.array(stopText).max(MAX_STOPS))], { error: `expected a string or up to ${MAX_STOPS} of them, 1 to 256 characters each` })
      .nullish(),
    logit_bias: bounded(256, z.record(byteKey, z.number().min(-100).max(100)))
      .nullish()
      .meta({ description: 'Byte value to the bias added to its logit.' }),
    stream: z.boolean().nullish(),
    stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
    latency_budget_ms: budgetMs.nullish().meta({ description: "Milliseconds from the request's arrival to its last byte of text." }),
    ttft_budget_ms: budgetMs.nullish().meta({ description: 'Milliseconds from arrival to the first byte of text.' }),
    service_tier: z.enum(['auto', 'default', 'scale', 'flex', 'priority']).nullish(),
    user: z.string().nullish(),

    n: notYet(z.literal(1)),
    best_of: notYet(z.literal(1)),
    echo: notYet(z.literal(false)),
    logprobs: notYet(z.null()),
    suffix: notYet(z.literal('')),
    frequency_penalty: notYet(z.literal(0)),
    presence_penalty: notYet(z.literal(0)),
    repetition_penalty: notYet(z.literal(1)),
    min_p: notYet(z.literal(0)),
    max_words: notYet(z.null()),
    response_format: notYet(z.object({ type: z.literal('text') })),
    regex: notYet(z.null()),
  })
  .refine((request) => !request.stream_options || request.stream === true, {
    path: ['stream_options'],
    message: 'only allowed together with stream: true',
  })
  .openapi('CompletionRequest');

export type CompletionRequest = z.infer<typeof completionRequestSchema>;

const usageSchema = z
  .object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() })
  .openapi('Usage', { description: 'In bytes: one token is one byte.' });

/** What the router promised and what came of it. */
export const stlmReportSchema = z
  .object({
    tier: z.string(),
    route_reason: z.string(),
    load_state: z.enum(['warm', 'cold']).meta({ description: 'Whether the tier had to be loaded for this request.' }),
    stop_cause: z.enum(['eod', 'stop', 'length', 'deadline', 'cancelled']).meta({ description: 'Of several choices, the most cutting.' }),
    budget_ms: z.number(),
    budget_source: z.string(),
    expected_ms: z.number().meta({ description: 'Arrival to last byte as expected before the first run; half of all answers should take longer.' }),
    predicted_ms: z.number().meta({ description: 'p95 of arrival to last byte, predicted before the first run.' }),
    actual_ms: z.number().meta({ description: 'Arrival to last byte of text.' }),
    time_to_first_byte_ms: z.number(),
    bytes_per_second: z.number().meta({ description: 'Text per second from the start of prefill to the last byte.' }),
    queue_ms: z.number(),
    load_ms: z.number(),
    prefill_ms: z.number(),
    decode_ms: z.number(),
    prompt_patches: z.int(),
    decoded_patches: z.int(),
    context_truncated: z.boolean(),
  })
  .openapi('StlmReport');

const finishReason = z.enum(['stop', 'length']);

const shared = {
  id: z.string().meta({ example: 'cmpl-7c2f0a' }),
  object: z.literal('text_completion'),
  created: z.int().meta({ description: 'Unix seconds.' }),
  model: z.string(),
};

export const completionSchema = z
  .object({
    ...shared,
    choices: z.array(z.object({ text: z.string(), index: z.int(), logprobs: z.null(), finish_reason: finishReason })),
    usage: usageSchema,
    stlm: stlmReportSchema,
  })
  .openapi('Completion');

/** One `data:` line of a stream. `stlm` stands in the last one that carries a choice. */
export const completionChunkSchema = z
  .object({
    ...shared,
    choices: z.array(z.object({ text: z.string(), index: z.int(), logprobs: z.null(), finish_reason: finishReason.nullable() })),
    usage: usageSchema.nullish(),
    stlm: stlmReportSchema.optional(),
  })
  .openapi('CompletionChunk');

export type Completion = z.infer<typeof completionSchema>;
export type CompletionChunk = z.infer<typeof completionChunkSchema>;
export type StlmReport = z.infer<typeof stlmReportSchema>;
export type Usage = z.infer<typeof usageSchema>;
