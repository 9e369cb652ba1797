/**
 * Where artifacts come from. A store moves bytes; it neither checks nor keeps them.
 *
 * @module
 */

/** A file that lies on this machine already is used in place; any other is streamed into the cache. */
export type StoredFile =
  | { readonly kind: 'local'; readonly path: string }
  | { readonly kind: 'remote'; readonly chunks: AsyncIterable<Uint8Array> };

/** Every method throws `ArtifactUnavailableError`. Tier ids and file names have been checked by the caller: they are bare names. */
export interface ArtifactStore {
  tiers(): Promise<readonly string[]>;
  manifest(tier: string): Promise<string>;
  file(tier: string, name: string): Promise<StoredFile>;
}
