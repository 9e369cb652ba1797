import { z } from '@hono/zod-openapi';

/**
 * A field of the OpenAI API that is known but not served: its neutral value passes, any other is refused by name, so that no
 * client believes it had an effect.
 */
export function notYet<T extends z.ZodType>(neutral: T) {
  return z
    .custom<z.infer<T> | null | undefined>((value) => value === undefined || value === null || neutral.safeParse(value).success, {
      error: 'not supported yet',
    })
    .optional()
    .openapi({ description: 'Not supported yet: only the neutral value is accepted.' });
}
