import { z } from '@hono/zod-openapi';

/**
 * A field of the OpenAI API that is known but not served: its neutral value passes, any other is refused by name, so that no
 * client believes it had an effect.
 */
export function notYet(neutral: z.ZodType) {
  const { $schema: _, ...accepted } = z.toJSONSchema(neutral.nullable(), { unrepresentable: 'any' });
  return z
    .unknown()
    .refine((value) => value === undefined || value === null || neutral.safeParse(value).success, 'not supported yet')
    .optional()
    .openapi({ ...(accepted as object), description: 'Not supported yet: only the neutral value is accepted.' });
}
