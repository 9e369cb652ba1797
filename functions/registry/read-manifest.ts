import type { KeyObject } from 'node:crypto';
import type { Manifest } from '../schema/manifest.js';
import { parseManifest } from './manifest.js';
import { requireSignature } from './signature.js';
import { type ArtifactStore, manifestPath, signaturePath, textIfAny } from './store.js';

/** With all that makes a copy of it as good as the original. */
export interface SignedManifest {
  readonly manifest: Manifest;
  /** As it stands in the store. */
  readonly text: string;
  readonly signature: string | undefined;
}

/** @param trusted none: it need not be signed. @throws {ArtifactCorruptError} {ArtifactUnavailableError} */
export async function readSigned(store: Pick<ArtifactStore, 'text'>, tier: string, trusted: readonly KeyObject[]): Promise<SignedManifest> {
  const text = await store.text(manifestPath(tier));
  const signature = await textIfAny(store, signaturePath(tier));
  if (trusted.length > 0) requireSignature(text, signature, trusted);
  return { manifest: await parseManifest(tier, text), text, signature };
}

/** As {@link readSigned}, and asks for no signature where none is wanted. */
export async function readManifest(store: Pick<ArtifactStore, 'text'>, tier: string, trusted: readonly KeyObject[]): Promise<Manifest> {
  return trusted.length > 0 ? (await readSigned(store, tier, trusted)).manifest : parseManifest(tier, await store.text(manifestPath(tier)));
}
