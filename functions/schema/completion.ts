/**
 * `POST /v1/completions`: what it takes and what it answers, in the shapes of the OpenAI API. One source for validation, types
 * and the OpenAPI document.
 *
 * @module
 */
import { z } from '@hono/zod-openapi';
import { answerFields, finishReason, stlmReportSchema, usageSchema } from './answer.js';
import { bounded } from './bounded.js';
import { notYet } from './not-yet.js';
import { STREAM_OPTIONS_ISSUE, streamsIfOptions, textRequestFields } from './request.js';

/** Texts per request: bounds what one request can ask of a worker. */
export const MAX_PROMPTS = 16;

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

export const completionRequestSchema = z
  .object({
    ...textRequestFields,
    prompt,
    best_of: notYet(z.literal(1)),
    echo: notYet(z.literal(false)),
    logprobs: notYet(z.null()),
    suffix: notYet(z.literal('')),
  })
  .refine(streamsIfOptions, STREAM_OPTIONS_ISSUE)
  .openapi('CompletionRequest');

export type CompletionRequest = z.infer<typeof completionRequestSchema>;

const shared = { id: z.string().meta({ example: 'cmpl-7c2f0a' }), object: z.literal('text_completion'), ...answerFields };

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
