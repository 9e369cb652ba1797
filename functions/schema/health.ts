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
        reason: z.string().optional().meta({ description: 'Why it is quarantined.' }),
        load_ms: z.number().optional(),
        golden: z
          .enum(['reproduced', 'differs', 'unproven'])
          .meta({ description: "Whether the loaded model has reproduced its manifest's golden prompt." }),
      }),
    ),
  })
  .openapi('Readiness');

export type Readiness = z.infer<typeof readinessSchema>;
