import { z } from '@hono/zod-openapi';

/** The OpenAI shape, in a body and in a stream's `data:` line. */
export const errorSchema = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable().meta({ description: 'The request field at fault.' }),
      code: z.string().nullable(),
      cheapest_feasible_ms: z.number().optional().meta({ description: 'With `latency_budget_infeasible`: the smallest budget that would do.' }),
    }),
  })
  .openapi('Error');

/** RFC 9457, for clients that accept `application/problem+json`. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().nullable(),
    param: z.string().nullable(),
    cheapest_feasible_ms: z.number().optional(),
  })
  .openapi('Problem');

export type ErrorBody = z.infer<typeof errorSchema>;
export type Problem = z.infer<typeof problemSchema>;
