import { z } from '@hono/zod-openapi';

const forecastSchema = z
  .object({
    tier: z.string(),
    verdict: z.enum(['fits', 'truncates', 'cold', 'late', 'crowds', 'unavailable']),
    warm: z.boolean(),
    wait_ms: z.number(),
    load_ms: z.number(),
    prefill_ms: z.number(),
    decode_ms: z.number(),
    predicted_ms: z.number().meta({ description: 'p95 of arrival to last byte.' }),
    predicted_first_byte_ms: z.number(),
    planned_bytes: z.number(),
  })
  .openapi('TierForecast');

/** The dry run of a completion request: what would run, and what every tier would take. */
export const routeAnswerSchema = z
  .object({
    object: z.literal('route'),
    outcome: z.enum(['admitted', 'infeasible', 'overloaded', 'loading', 'unavailable']),
    tier: z.string().nullable().meta({ description: 'The tier that would run; null when refused.' }),
    reason: z.string().nullable(),
    policy: z.string().meta({ description: 'What chooses among the tiers here: a setting of the server.' }),
    budget_ms: z.number(),
    budget_source: z.string(),
    predicted_ms: z.number().nullable(),
    cheapest_feasible_ms: z.number().optional(),
    retry_after_ms: z.number().optional(),
    tiers: z.array(forecastSchema),
  })
  .openapi('RouteAnswer');

export type RouteAnswer = z.infer<typeof routeAnswerSchema>;
