import { FolderStore } from './folder-store.js';
import { HttpStore } from './http-store.js';
import type { ArtifactStore } from './store.js';

export type StoreLocation =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'http'; readonly base: URL; readonly tiers: readonly string[] };

export function openStore(location: StoreLocation): ArtifactStore {
  return location.kind === 'http' ? new HttpStore(location.base, location.tiers) : new FolderStore(location.path);
}
