import { z } from '@hono/zod-openapi';

export const healthSchema = z.object({ status: z.literal('ok') }).openapi('Health');

export const readinessSchema = z
  .object({
    ready: z.boolean(),
    draining: z.boolean(),
    tiers: z.array(
      z.object({
        id: z.string(),
        state: z.enum(['cold', 'loading', 'ready', 'quarantined']),
        reason: z.string().optional().meta({ description: 'Why it is quarantined; of a cold tier, why its last load failed or its next one would.' }),
        load_ms: z.number().optional(),
        workers: z.array(z.int()).meta({ description: 'The worker threads it is warm on.' }),
        memory_bytes: z.int().meta({ description: 'What it takes on all of them, the caches of texts in flight included: an estimate.' }),
        golden: z.enum(['reproduced', 'diverges', 'differs', 'unproven']).meta({
          description:
            "Whether the loaded model gives the text its manifest names. `diverges`: only the beginning of it, as the rounding of another processor may make it; the tier counts as ready. `differs`: not even its first bytes; it does not.",
        }),
        golden_matched_bytes: z.int().optional().meta({ description: 'How many bytes of that text came before the first other one.' }),
      }),
    ),
  })
  .openapi('Readiness');

export type Readiness = z.infer<typeof readinessSchema>;
