/**
 * Copies tiers from any store into a folder. A tier's folder appears there by one rename, once every byte of it has been checked and has reached
 * the disk: what breaks off leaves nothing that could be served.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { removeAbandoned } from './abandoned.js';
import { syncFolder, writeDurably } from './durable.js';
import { ArtifactCorruptError } from './errors.js';
import { FolderStore } from './folder-store.js';
import type { SignedManifest } from './read-manifest.js';
import { type ArtifactStore, manifestPath, signaturePath, textIfAny } from './store.js';
import { verified, verifyFile } from './verify.js';

export interface Progress {
  /** So many more of the tier's bytes. */
  (tier: string, bytes: number): void;
}

/** Every file of a tier as its store gives it, checked. @throws {ArtifactCorruptError} {ArtifactUnavailableError} */
export async function verifyTier(store: ArtifactStore, { manifest }: SignedManifest, progress: Progress): Promise<void> {
  for (const file of manifest.files) for await (const chunk of verified(await chunksOf(store, manifest.id, file.name), file)) progress(manifest.id, chunk.length);
}

/** Whether it was new there. @throws {ArtifactCorruptError} also where another version of it lies: artifacts are immutable. {ArtifactUnavailableError} */
export async function pullTier(store: ArtifactStore, signed: SignedManifest, folder: string, progress: Progress): Promise<boolean> {
  const { manifest, text, signature } = signed;
  const tier = manifest.id;
  const target = join(folder, tier);
  const held = new FolderStore(folder);
  const there = await textIfAny(held, manifestPath(tier));
  if (there !== undefined) {
    if (there !== text) throw new ArtifactCorruptError(`${target} has another version of ${tier}: remove it, or pull into another folder`);
    for (const file of manifest.files) await verifyFile(join(target, file.name), file);
    // It may have been signed since, or by another key.
    if (signature !== undefined && signature !== (await textIfAny(held, signaturePath(tier)))) await held.put(signaturePath(tier), { chunks: [Buffer.from(signature)] });
    return false;
  }
  await mkdir(folder, { recursive: true });
  await removeAbandoned(folder);
  const partial = join(folder, `.${tier}.${randomUUID()}.part`);
  try {
    await mkdir(partial);
    for (const file of manifest.files) await writeDurably(join(partial, file.name), counted(verified(await chunksOf(store, tier, file.name), file), (bytes) => progress(tier, bytes)));
    const texts = { [manifestPath(tier)]: text, ...(signature !== undefined && { [signaturePath(tier)]: signature }) };
    for (const [path, content] of Object.entries(texts)) await writeDurably(join(partial, path.slice(tier.length + 1)), [Buffer.from(content)]);
    await syncFolder(partial);
    await rename(partial, target);
    await syncFolder(folder);
    return true;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

export async function chunksOf(store: ArtifactStore, tier: string, name: string): Promise<AsyncIterable<Uint8Array>> {
  const stored = await store.file(tier, name);
  return stored.kind === 'local' ? createReadStream(stored.path, { highWaterMark: 1 << 20 }) : stored.chunks;
}

export async function* counted(chunks: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    count(chunk.length);
    yield chunk;
  }
}
