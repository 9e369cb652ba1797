import { FolderStore } from './folder-store.js';
import type { S3Access, S3Location } from './s3-store.js';
import type { ArtifactStore, WritableStore } from './store.js';

export type StoreLocation =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'http'; readonly base: URL; readonly tiers: readonly string[] }
  | ({ readonly kind: 's3'; readonly access: S3Access } & S3Location);

export async function openStore(location: StoreLocation): Promise<ArtifactStore> {
  if (location.kind !== 'http') return openWritable(location);
  // Not with the others: a server that reads a folder starts without an HTTP client.
  const { HttpStore } = await import('./http-store.js');
  return new HttpStore(location.base, location.tiers);
}

export async function openWritable(location: Exclude<StoreLocation, { kind: 'http' }>): Promise<WritableStore> {
  if (location.kind === 'folder') return new FolderStore(location.path);
  const { S3Store } = await import('./s3-store.js');
  return new S3Store(location, location.access);
}

/** What reaching a store may need besides its address. */
export interface StoreSettings {
  /** Those an http(s) address has. */
  readonly tiers: readonly string[];
  readonly s3?: S3Access;
}

type Located = { readonly location: StoreLocation; readonly problem?: never } | { readonly problem: string; readonly location?: never };

/** A folder, an http(s) address, or `s3://bucket/prefix`. */
export function locate(address: string, { tiers, s3 }: StoreSettings): Located {
  // Never repeated: it may have a password.
  if (/^https?:\/\//.test(address)) return URL.canParse(address) ? { location: { kind: 'http', base: new URL(address), tiers } } : { problem: 'expected an http(s) address' };
  if (!address.startsWith('s3:')) return { location: { kind: 'folder', path: address } };
  const [, bucket, prefix = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([\w./-]*?))?\/*$/.exec(address) ?? [];
  if (bucket === undefined) return { problem: 'expected s3://bucket/prefix' };
  return s3 === undefined ? { problem: 's3:// needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY' } : { location: { kind: 's3', access: s3, bucket, prefix } };
}
