/**
 * `POST /v1/completions`: what it takes and what it answers, in the shapes of the OpenAI API. One source for validation, types
 * and the OpenAPI document.
 *
 * @module
 */
import { z } from '@hono/zod-openapi';
import { answerFields, finishReason, stlmReportSchema, usageOfChunk, usageSchema } from './answer.js';
import { completionLogprobsSchema } from './logprobs.js';
import { SPECIAL } from './patch-rule.js';
import { DEFAULT_MAX_BYTES, hasWordsOrForm, MAX_BYTES, MAX_CHOICES, MAX_TOLD, STREAM_OPTIONS_ISSUE, streamsIfOptions, tellsFew, textRequestFields, TOLD, TOLD_MESSAGE, WORDS_OR_FORM_ISSUE } from './request.js';

/** Bounds what one request can ask of a worker. */
export const MAX_PROMPTS = 16;
const MAX_TEXTS = 16;
const MAX_LOGPROBS = 5;

/** Longer than any context; a text, which costs less to read, may be as long as a body. */
const MAX_PROMPT_NUMBERS = 65_536;

const TEXT = { type: 'string' } as const;
const BYTES = { type: 'array', items: { type: 'integer', minimum: 0, maximum: SPECIAL.bod }, maxItems: MAX_PROMPT_NUMBERS } as const;

/**
 * By hand, and no further than the first element that is wrong: a union of schemas would collect an issue for each of half a million
 * elements, a second in which nobody else is answered.
 */
const prompt = z
  .custom<string | number[] | string[] | number[][]>(isPrompt, {
    error: `expected a string, an array of at most ${MAX_PROMPT_NUMBERS} bytes (0-255, the first may be ${SPECIAL.bod}, the begin of a text), or an array of 1 to ${MAX_PROMPTS} of either`,
  })
  .openapi({
    type: ['string', 'array'],
    anyOf: [TEXT, BYTES, { type: 'array', items: TEXT, minItems: 1, maxItems: MAX_PROMPTS }, { type: 'array', items: BYTES, minItems: 1, maxItems: MAX_PROMPTS }],
    description:
      `The text to continue. A string is read as UTF-8, an array of numbers as raw bytes; several prompts give several choices. Every text begins after the id ${SPECIAL.bod}; ` +
      'an array may say so itself, and then `echo` with `logprobs` tells how probable its first byte was.',
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
  return Array.isArray(value) && value.length <= MAX_PROMPT_NUMBERS && value.every((one, index) => isByte(one) || (index === 0 && one === SPECIAL.bod));
}

function isByte(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;
}

const bestOf = z.int().min(1).max(MAX_CHOICES).nullish().meta({
  description: 'Texts that are written for each prompt, of which the `n` with the highest mean log-probability of a byte are the answer, best first; `n` if absent. Usage counts all.',
});

const fields = z.object({
  ...textRequestFields,
  prompt,
  max_tokens: z.int().min(0).max(MAX_BYTES).nullish().meta({ description: `One token is one byte; ${DEFAULT_MAX_BYTES} if absent. 0, for a prompt that is only scored, goes with \`echo\`.` }),
  best_of: bestOf,
  echo: z.boolean().nullish().meta({ description: 'The text begins with the prompt; with `logprobs` the prompt is scored too, in windows of half a context where it is longer than one.' }),
  logprobs: z.int().min(0).max(MAX_LOGPROBS).nullish().meta({ description: `Tells how probable each byte was, and so many of the likeliest beside it: a token is a byte. ${TOLD}` }),
  suffix: z.string().nullish().meta({ description: 'What comes after the text: it fills the gap between `prompt` and this. Only of models with `infill` in `GET /v1/models`.' }),
});

type Fields = z.infer<typeof fields>;

/** How many texts are written. */
function countTexts({ prompt, n, best_of: bestOf }: Fields): number {
  return countPrompts(prompt) * (bestOf ?? n ?? 1);
}

/** Whether the answer tells the log-probabilities of its prompts. */
export function scoresPrompt({ echo, logprobs }: Pick<Fields, 'echo' | 'logprobs'>): boolean {
  return echo === true && typeof logprobs === 'number';
}

function countScored(body: Fields): number {
  if (!scoresPrompt(body)) return 0;
  const prompts = typeof body.prompt === 'string' || isRawPrompt(body.prompt) ? [body.prompt] : body.prompt;
  const bytes = prompts.map((one) => (typeof one === 'string' ? new TextEncoder().encode(one).length : one.length));
  return (body.best_of ?? body.n ?? 1) * bytes.reduce((sum, count) => sum + count, 0);
}

export const completionRequestSchema = fields
  .refine(streamsIfOptions, STREAM_OPTIONS_ISSUE)
  .refine(hasWordsOrForm, WORDS_OR_FORM_ISSUE)
  .refine(({ best_of: bestOf, n }) => (bestOf ?? Infinity) >= (n ?? 1), { path: ['best_of'], message: 'expected at least n' })
  .refine(({ best_of: bestOf, n, stream }) => stream !== true || (bestOf ?? 1) <= (n ?? 1), { path: ['best_of'], message: 'not together with stream: the best text is known at the end' })
  .refine((body) => body.best_of || countTexts(body) <= MAX_TEXTS, { path: ['n'], message: `expected at most ${MAX_TEXTS} texts of all prompts together` })
  .refine((body) => !body.best_of || countTexts(body) <= MAX_TEXTS, { path: ['best_of'], message: `expected at most ${MAX_TEXTS} texts of all prompts together` })
  .refine(({ max_tokens: most, echo }) => most !== 0 || echo === true, { path: ['max_tokens'], message: 'expected at least 1; 0 goes with echo: true' })
  .refine((body) => !body.suffix || !scoresPrompt(body), { path: ['suffix'], message: 'not together with echo and logprobs: what is echoed is not what the model reads' })
  .refine((body) => countScored(body) * (1 + (body.logprobs ?? 0)) <= MAX_TOLD, { path: ['echo'], message: `with logprobs expected at most ${MAX_TOLD} of the prompts' bytes and alternatives together` })
  .refine((body) => typeof body.logprobs !== 'number' || tellsFew(body, countTexts(body), body.logprobs), { path: ['logprobs'], message: TOLD_MESSAGE })
  .openapi('CompletionRequest');

export type CompletionRequest = z.infer<typeof completionRequestSchema>;

const shared = { id: z.string().meta({ example: 'cmpl-7c2f0a' }), object: z.literal('text_completion'), ...answerFields };

export const completionSchema = z
  .object({
    ...shared,
    choices: z.array(z.object({ text: z.string(), index: z.int(), logprobs: completionLogprobsSchema.nullable(), finish_reason: finishReason })),
    usage: usageSchema,
    stlm: stlmReportSchema,
  })
  .openapi('Completion');

/** One `data:` line of a stream. `stlm` stands in the last one that carries a choice. */
export const completionChunkSchema = z
  .object({
    ...shared,
    choices: z.array(z.object({ text: z.string(), index: z.int(), logprobs: completionLogprobsSchema.nullable(), finish_reason: finishReason.nullable() })),
    usage: usageOfChunk,
    stlm: stlmReportSchema.optional(),
  })
  .openapi('CompletionChunk');

export type Completion = z.infer<typeof completionSchema>;
export type CompletionChunk = z.infer<typeof completionChunkSchema>;
