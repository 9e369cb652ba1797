/**
 * How an answer tells how probable its bytes were to the model: at temperature 1, before filters, penalties, biases and forms.
 *
 * @module
 */
import { z } from '@hono/zod-openapi';

const token = z.string().meta({
  description: 'A byte: its character, or `bytes:\\xNN` where it is only a part of one; a mark as `<|eod|>`.',
});

export const completionLogprobsSchema = z
  .object({
    tokens: z.array(token),
    token_logprobs: z.array(z.number().nullable()).meta({ description: 'Null for the first token of an echoed prompt, which has nothing before it.' }),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).meta({ description: 'The likeliest, and the token itself where it is not among them.' }),
    text_offset: z.array(z.int()).meta({ description: 'Where in `text` the character begins that the byte is of, in Unicode characters.' }),
    bytes: z.array(z.int().nullable()).meta({ description: 'Beyond the OpenAI API: each token\'s byte; null for a mark, as the one that ends a text.' }),
  })
  .openapi('CompletionLogprobs');

const chatToken = { token, logprob: z.number(), bytes: z.array(z.int()).nullable() };

export const chatLogprobsSchema = z
  .object({
    content: z.array(z.object({ ...chatToken, top_logprobs: z.array(z.object(chatToken)) })),
    refusal: z.null(),
  })
  .openapi('ChatLogprobs');

export type CompletionLogprobs = z.infer<typeof completionLogprobsSchema>;
export type ChatLogprobs = z.infer<typeof chatLogprobsSchema>;
