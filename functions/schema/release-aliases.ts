/**
 * The file of a store with releases that says which of them is served.
 *
 * @module
 */
import { z } from 'zod';

/** Made from the release's content, so that a name never means two things. */
export const releaseId = z.string().regex(/^[0-9a-f]{16}$/, 'a release is 16 hexadecimal digits');

export const releaseAliasesSchema = z.strictObject({
  stable: releaseId,
  /** Gets this share of the requests; the stable one gets the others. */
  canary: z.strictObject({ release: releaseId, share: z.number().gt(0).max(1) }).optional(),
});

export type ReleaseAliases = z.infer<typeof releaseAliasesSchema>;
