/**
 * Who is asking. A key is random and long, so one round of sha256 keeps it as well as a slow hash would.
 *
 * @module
 */
import { type Key, keyFileSchema } from '../schema/keys.js';

/** What the rest of the server knows of a client: never the key. */
export interface Client {
  readonly name: string;
}

/** Everyone, where no keys are set. */
export const ANONYMOUS: Client = { name: 'anonymous' };

/** The key file means nothing; the message names the field. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError';
}

/** @throws {KeyFileError} */
export function parseKeys(json: string): readonly Key[] {
  let content: unknown;
  try {
    content = JSON.parse(json);
  } catch (cause) {
    throw new KeyFileError('not valid JSON', { cause });
  }
  const parsed = keyFileSchema.safeParse(content);
  if (parsed.success) return parsed.data.keys;
  throw new KeyFileError(parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`).join('; '));
}

export class KeyRing {
  readonly #keys: readonly { readonly client: Client; readonly sha256: string }[];

  /** @param keys none: open to everyone. */
  constructor(keys: readonly Key[]) {
    this.#keys = keys.map(({ name, sha256 }) => ({ client: { name }, sha256 }));
  }

  /** Undefined: not one of ours. */
  async identify(key: string | undefined): Promise<Client | undefined> {
    if (this.#keys.length === 0) return ANONYMOUS;
    if (key === undefined) return undefined;
    const presented = await sha256Hex(key);
    // All of them and all of each: how long it takes tells nothing about which one was how close.
    return this.#keys.reduce<Client | undefined>((found, { client, sha256 }) => (isSame(presented, sha256) ? client : found), undefined);
  }
}

export async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Of two texts of one length. */
function isSame(a: string, b: string): boolean {
  let difference = 0;
  for (let index = 0; index < b.length; index += 1) difference |= a.charCodeAt(index) ^ b.charCodeAt(index);
  return difference === 0;
}
