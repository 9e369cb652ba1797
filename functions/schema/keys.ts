/**
 * The file that names who may ask. A key itself stands nowhere: only its sha256, so that the file is no secret to be stolen.
 *
 * @module
 */
import { z } from 'zod';

const perMinute = z.int().min(1).max(1e12);

export const keySchema = z.strictObject({
  /** Who it belongs to: in the log, and what a prompt cache is shared by. */
  name: z.string().regex(/^[\w.-]{1,64}$/, 'expected letters, digits, ".", "_" or "-"'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits'),
  requests_per_minute: perMinute.optional(),
  /** Bytes of prompts, and of the text asked for at most. */
  tokens_per_minute: perMinute.optional(),
});

export const keyFileSchema = z
  .strictObject({ keys: z.array(keySchema).min(1) })
  .refine(({ keys }) => new Set(keys.map(({ name }) => name)).size === keys.length, { path: ['keys'], message: 'two keys have the same name' });

export type Key = z.infer<typeof keySchema>;
