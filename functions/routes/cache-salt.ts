/** Whose prompts may share what has been read of a common beginning: those of one key, or of nobody in particular. */

const ANONYMOUS = 'anonymous';

/** A hash, so that the key itself goes no further. */
export async function cacheSalt(authorization: string | undefined): Promise<string> {
  if (authorization === undefined) return ANONYMOUS;
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(authorization));
  return `sha256:${Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
