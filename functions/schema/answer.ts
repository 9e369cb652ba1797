/**
 * What every answer of text says beside the text itself.
 *
 * @module
 */
import { z } from '@hono/zod-openapi';

export const finishReason = z.enum(['stop', 'length']);

export const answerFields = {
  created: z.int().meta({ description: 'Unix seconds.' }),
  model: z.string().meta({ description: 'The tier that wrote the text.' }),
};

export const usageSchema = z
  .object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({
      cached_tokens: z.int().meta({ description: 'Of the prompt, what had been read for an earlier one with the same beginning and the same key.' }),
    }),
  })
  .openapi('Usage', { description: 'In bytes: one token is one byte, or a mark: in a chat of whose turn begins or ends, around a gap that is filled, or of where an echoed prompt begins.' });

/** A union: the document generator has no other way to write a reference that may be null. */
export const usageOfChunk = z.union([usageSchema, z.null()]).optional();

/** What the router promised and what came of it. */
export const stlmReportSchema = z
  .object({
    tier: z.string(),
    route_reason: z.string(),
    load_state: z.enum(['warm', 'cold']).meta({ description: 'Whether the tier had to be loaded for this request.' }),
    stop_cause: z.enum(['eod', 'stop', 'length', 'context', 'deadline', 'cancelled']).meta({
      description: 'Of several choices, the most cutting. `context`: a reply, or what fills a gap, came to where the context ends.',
    }),
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
    prompt_patches: z.int().meta({ description: 'Patches of the prompt that were read: fewer than it has where it outgrew the context.' }),
    decoded_patches: z.int(),
    context_truncated: z.boolean(),
    energy_joules: z.number().meta({ description: 'An estimate: the time of the runs, shared ones shared out, by the cores of a run and by `energy_watts_per_core`.' }),
    energy_source: z.enum(['rapl', 'cpu_time']).meta({
      description: "Where the watts come from. `rapl`: the processor's counters, shared out over all busy cores of the machine. `cpu_time`: a setting of the deployment.",
    }),
    energy_watts_per_core: z.number().meta({ description: 'What a busy core takes.' }),
  })
  .openapi('StlmReport');

export type FinishReason = z.infer<typeof finishReason>;
export type StlmReport = z.infer<typeof stlmReportSchema>;
export type Usage = z.infer<typeof usageSchema>;
