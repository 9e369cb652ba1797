import { FolderStore } from './folder-store.js';
import type { ArtifactStore } from './store.js';

export type StoreLocation =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'http'; readonly base: URL; readonly tiers: readonly string[] };

export async function openStore(location: StoreLocation): Promise<ArtifactStore> {
  if (location.kind === 'folder') return new FolderStore(location.path);
  // Not with the others: a server that reads a folder starts without an HTTP client.
  const { HttpStore } = await import('./http-store.js');
  return new HttpStore(location.base, location.tiers);
}
