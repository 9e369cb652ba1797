/**
 * `POST /v1/completions`: what it takes and what it answers, in the shapes of the OpenAI API. One source for validation, types
 * and the OpenAPI document.
 *
 * @module
 */
import { z } from '@hono/zod-openapi';
import { answerFields, finishReason, stlmReportSchema, usageOfChunk, usageSchema } from './answer.js';
import { notYet } from './not-yet.js';
import { STREAM_OPTIONS_ISSUE, streamsIfOptions, textRequestFields } from './request.js';

/** Bounds what one request can ask of a worker. */
export const MAX_PROMPTS = 16;
const MAX_TEXTS = 16;

/** Longer than any context; a text, which costs less to read, may be as long as a body. */
const MAX_PROMPT_NUMBERS = 65_536;

const TEXT = { type: 'string' } as const;
const BYTES = { type: 'array', items: { type: 'integer', minimum: 0, maximum: 255 }, maxItems: MAX_PROMPT_NUMBERS } as const;

/**
 * By hand, and no further than the first element that is wrong: a union of schemas would collect an issue for each of half a million
 * elements, a second in which nobody else is answered.
 */
const prompt = z
  .custom<string | number[] | string[] | number[][]>(isPrompt, {
    error: `expected a string, an array of at most ${MAX_PROMPT_NUMBERS} bytes (0-255), or an array of 1 to ${MAX_PROMPTS} of either`,
  })
  .openapi({
    type: ['string', 'array'],
    anyOf: [TEXT, BYTES, { type: 'array', items: TEXT, minItems: 1, maxItems: MAX_PROMPTS }, { type: 'array', items: BYTES, minItems: 1, maxItems: MAX_PROMPTS }],
    description: 'The text to continue. A string is read as UTF-8, an array of numbers as raw bytes; several prompts give several choices.',
  });

function isPrompt(value: unknown): boolean {
  if (typeof value === 'string' || isBytes(value)) return true;
  if (!Array.isArray(value) || value.length > MAX_PROMPTS) return false;
  return value.every((one) => typeof one === 'string') || value.every(isBytes);
}

/** Of what has passed `isPrompt`: raw bytes, one prompt. An empty array is a prompt of no bytes, not no prompt. */
export function isRawPrompt(prompt: string[] | number[] | number[][]): prompt is number[] {
  return prompt.length === 0 || typeof prompt[0] === 'number';
}

function countPrompts(prompt: string | string[] | number[] | number[][]): number {
  return typeof prompt === 'string' || isRawPrompt(prompt) ? 1 : prompt.length;
}

/** None are bytes too. */
function isBytes(value: unknown): boolean {
  return Array.isArray(value) && value.length <= MAX_PROMPT_NUMBERS && value.every((one) => Number.isInteger(one) && one >= 0 && one <= 255);
}

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
  .refine(({ prompt, n }) => countPrompts(prompt) * (n ?? 1) <= MAX_TEXTS, { path: ['n'], message: `expected at most ${MAX_TEXTS} texts of all prompts together` })
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
    usage: usageOfChunk,
    stlm: stlmReportSchema.optional(),
  })
  .openapi('CompletionChunk');

export type Completion = z.infer<typeof completionSchema>;
export type CompletionChunk = z.infer<typeof completionChunkSchema>;
