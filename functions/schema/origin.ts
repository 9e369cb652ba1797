/** Origins of pages, as browsers write them. Apart from the schemas of requests, as settings are read before those are needed. */
import { z } from 'zod';

const origin = z.union([z.literal('*'), z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text, 'expected origins, as https://app.example')]);

/** `https://app.example,http://localhost:3000`. */
export const corsOrigins = z
  .string()
  .transform((list) => list.split(',').map((text) => text.trim()))
  .pipe(z.array(origin));
