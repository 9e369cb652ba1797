/**
 * Where artifacts come from. A store moves bytes; it neither checks nor keeps them.
 *
 * @module
 */
import { ArtifactMissingError } from './errors.js';

/** A file that lies on this machine already is used in place; any other is streamed into the cache. */
export type StoredFile =
  | { readonly kind: 'local'; readonly path: string }
  | { readonly kind: 'remote'; readonly chunks: AsyncIterable<Uint8Array> };

/** Every method throws `ArtifactUnavailableError`. Tier ids and file names have been checked by the caller: they are bare names. */
export interface ArtifactStore {
  tiers(): Promise<readonly string[]>;
  /** A small file, its path without a leading slash; {@link ArtifactMissingError} if there is none, `ArtifactCorruptError` if it has no end. */
  text(path: string): Promise<string>;
  file(tier: string, name: string): Promise<StoredFile>;
}

/** Bytes on their way into a store. */
export interface Content {
  readonly bytes: number;
  readonly sha256: string;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** A path appears only with all its bytes. */
export interface WritableStore extends ArtifactStore {
  /** Of this many bytes. */
  has(path: string, bytes: number): Promise<boolean>;
  put(path: string, content: Content): Promise<void>;
}

/** No small file is anywhere near this; a store that sends more is not one. */
export const TEXT_LIMIT_BYTES = 1 << 20;

export function manifestPath(tier: string): string {
  return `${tier}/manifest.json`;
}

/** Over the exact bytes of the manifest. */
export function signaturePath(tier: string): string {
  return `${manifestPath(tier)}.sig`;
}

/** Undefined if there is none. @throws {ArtifactUnavailableError} if that cannot be told. */
export async function textIfAny(store: Pick<ArtifactStore, 'text'>, path: string): Promise<string | undefined> {
  try {
    return await store.text(path);
  } catch (error) {
    if (error instanceof ArtifactMissingError) return undefined;
    throw error;
  }
}
