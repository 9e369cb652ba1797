import { z } from '@hono/zod-openapi';

export const modelSchema = z
  .object({
    id: z.string(),
    object: z.literal('model'),
    created: z.int().meta({ description: 'Unix seconds.' }),
    owned_by: z.literal('stlm'),
    stlm: z
      .object({
        state: z.enum(['cold', 'loading', 'ready', 'quarantined']),
        parameters: z.int().meta({ description: 'Unique weights.' }),
        context_patches: z.int(),
        precision: z.string(),
        chat: z.boolean().meta({ description: 'Whether it was tuned to chat: the others only complete.' }),
        infill: z.boolean().meta({ description: 'Whether it can write what is missing before a `suffix`.' }),
        bits_per_byte: z.number().optional().meta({ description: 'Mean over held-out text, measured from the served file.' }),
      })
      .optional()
      .meta({ description: 'Absent for `stlm-auto`, which is a route and no model.' }),
  })
  .openapi('Model');

export const modelListSchema = z.object({ object: z.literal('list'), data: z.array(modelSchema) }).openapi('ModelList');

export type Model = z.infer<typeof modelSchema>;
export type ModelList = z.infer<typeof modelListSchema>;
