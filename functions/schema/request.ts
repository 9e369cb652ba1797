/**
 * What every request for text may say, whatever it continues: how long, how it is sampled, how soon, in which form.
 *
 * @module
 */
import { z } from '@hono/zod-openapi';
import { bounded } from './bounded.js';
import { MAX_BUDGET_MS } from './budget.js';
import { modelName } from './model-name.js';

export const DEFAULT_MAX_BYTES = 64;
export const MAX_BYTES = 4_096;
const MAX_STOPS = 4;
export const MAX_CHOICES = 8;

const stopText = z.string().min(1).max(256);

const BYTE = /^(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$/;
const byteKey = z.string().regex(BYTE, 'expected byte values 0-255 as keys');

const budgetMs = z.number().positive().max(MAX_BUDGET_MS);

/** Characters. */
const MAX_REGEX = 4_096;

const responseFormat = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('text') }),
    z.object({ type: z.literal('json_object') }),
    z.object({ type: z.literal('json_schema'), json_schema: z.object({ name: z.string().max(64).optional(), description: z.string().optional(), schema: z.unknown(), strict: z.boolean().nullish() }) }),
  ])
  .meta({ description: 'The form of the text: `json_object` is any JSON object, `json_schema` one that the schema describes. It always parses, if its budget lets it end.' });

export const textRequestFields = {
  model: modelName.meta({
    description: '`stlm-auto` routes by latency budget, also as `stlm-auto@80ms`; a tier id pins that tier.',
    example: 'stlm-auto',
  }),
  max_tokens: z.int().min(1).max(MAX_BYTES).nullish().meta({ description: `One token is one byte; ${DEFAULT_MAX_BYTES} if absent.` }),
  max_words: z.int().min(1).max(MAX_BYTES).nullish().meta({
    description: 'The text ends with its n-th word, before what follows it, or at `max_tokens`. A word is a run of letters, digits, apostrophes and characters beyond ASCII; one that the prompt began is the first.',
  }),
  max_completion_tokens: z.int().min(1).max(MAX_BYTES).nullish().meta({ description: 'Read where `max_tokens` is absent.' }),
  temperature: z.number().min(0).max(2).nullish().meta({ description: '1 if absent; 0 is greedy.' }),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).max(256).nullish().meta({ description: '0 is off.' }),
  min_p: z.number().min(0).max(1).nullish().meta({ description: 'Only bytes whose probability is at least this share of the likeliest one\'s; 0 is off.' }),
  frequency_penalty: z.number().min(-2).max(2).nullish().meta({
    description: 'What the logit of a byte loses for each time that the text written so far has it. A token is a byte here, and common bytes come often: 0.1 is much.',
  }),
  presence_penalty: z.number().min(-2).max(2).nullish().meta({ description: 'What the logit of a byte loses once the text written so far has it.' }),
  repetition_penalty: z.number().min(0.01).max(2).nullish().meta({
    description: 'The logit of a byte that the prompt or the text written so far has is divided by this if positive, else multiplied; 1 is off. A token is a byte: after a few words most letters have been seen.',
  }),
  n: z.int().min(1).max(MAX_CHOICES).nullish().meta({ description: 'Texts for each prompt; 1 if absent.' }),
  seed: z.int().nullish().meta({ description: 'The same seed on the same tier gives the same text; of several for one prompt, the k-th is drawn with `seed` + k.' }),
  stop: z
    .union([stopText, bounded(MAX_STOPS, z.array(stopText).max(MAX_STOPS))], { error: `expected a string or up to ${MAX_STOPS} of them, 1 to 256 characters each` })
    .nullish(),
  logit_bias: bounded(256, z.record(byteKey, z.number().min(-100).max(100)))
    .nullish()
    .meta({ description: 'Byte value to the bias added to its logit.', propertyNames: { pattern: BYTE.source }, maxProperties: 256 }),
  regex: z.string().min(1).max(MAX_REGEX).nullish().meta({
    description: 'The whole text will match it: JavaScript syntax, without looking around or back. It ends when it cannot go on.',
  }),
  response_format: responseFormat.nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  latency_budget_ms: budgetMs.nullish().meta({ description: "Milliseconds from the request's arrival to its last byte of text." }),
  ttft_budget_ms: budgetMs.nullish().meta({ description: 'Milliseconds from arrival to the first byte of text.' }),
  service_tier: z.enum(['auto', 'default', 'scale', 'flex', 'priority']).nullish(),
  user: z.string().nullish(),
};

export type TextRequest = z.infer<z.ZodObject<typeof textRequestFields>>;

export function maxBytesOf({ max_tokens: most, max_completion_tokens: mostOfChat }: Pick<TextRequest, 'max_tokens' | 'max_completion_tokens'>): number {
  return most ?? mostOfChat ?? DEFAULT_MAX_BYTES;
}

/** Log-probabilities in one JSON body, those of the alternatives beside each byte included: each takes some fifty bytes, and all are written at once. */
export const MAX_TOLD = 131_072;

/** For `refine`: whether a body can tell so much of so many texts. A stream tells it piece by piece. */
export function tellsFew(body: Pick<TextRequest, 'stream' | 'max_tokens' | 'max_completion_tokens'>, texts: number, alternatives: number): boolean {
  return body.stream === true || texts * maxBytesOf(body) * (1 + alternatives) <= MAX_TOLD;
}

export const TOLD = `One body tells at most ${MAX_TOLD} of them together, a stream any number.`;
export const TOLD_MESSAGE = `expected at most ${MAX_TOLD} of the texts' bytes and alternatives together, or stream: true`;

/** For `refine`: options of a stream on a request for none are a mistake. */
export function streamsIfOptions({ stream, stream_options }: Pick<TextRequest, 'stream' | 'stream_options'>): boolean {
  return !stream_options || stream === true;
}

export const STREAM_OPTIONS_ISSUE = { path: ['stream_options'], message: 'only allowed together with stream: true' };

/** For `refine`: a text cut after a word has no form. */
export function hasWordsOrForm({ max_words: words, regex, response_format: format }: Pick<TextRequest, 'max_words' | 'regex' | 'response_format'>): boolean {
  return typeof words !== 'number' || (typeof regex !== 'string' && (format?.type ?? 'text') === 'text');
}

export const WORDS_OR_FORM_ISSUE = { path: ['max_words'], message: 'not together with a regex or a response_format, which say where the text ends' };
