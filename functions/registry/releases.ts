/**
 * Releases: sets of tiers that lie side by side in one store, each under `releases/` by a name made from its content, so that none ever changes.
 * `aliases.json` says which is served.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { type ReleaseAliases, releaseAliasesSchema } from '../schema/release-aliases.js';
import { ArtifactCorruptError } from './errors.js';
import type { StoreLocation } from './open-store.js';
import { chunksOf, counted, type Progress } from './pull.js';
import type { SignedManifest } from './read-manifest.js';
import { type ArtifactStore, type Content, manifestPath, signaturePath, textIfAny, type WritableStore } from './store.js';

const ALIASES = 'aliases.json';

/** Undefined: the store has no releases, its tiers lie in it as they are. @throws {ArtifactCorruptError} {ArtifactUnavailableError} */
export async function readAliases(store: Pick<ArtifactStore, 'text'>): Promise<ReleaseAliases | undefined> {
  const text = await textIfAny(store, ALIASES);
  if (text === undefined) return undefined;
  try {
    return releaseAliasesSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new ArtifactCorruptError(`${ALIASES} means nothing: ${(cause as Error).message}`, { cause });
  }
}

export async function writeAliases(store: WritableStore, aliases: ReleaseAliases): Promise<void> {
  await store.put(ALIASES, textContent(`${JSON.stringify(aliases)}\n`));
}

/** Where the tiers of a release lie. */
export function releaseAt<Location extends StoreLocation>(location: Location, release: string): Location {
  const below = `releases/${release}`;
  switch (location.kind) {
    case 'folder':
      return { ...location, path: posix.join(location.path, below) };
    case 's3':
      return { ...location, prefix: posix.join(location.prefix, below) };
    case 'http': {
      const { base } = location;
      return { ...location, base: new URL(`${base.pathname.replace(/\/*$/, '/')}${below}${base.search}`, base) };
    }
  }
}

/** The sha256 of its manifests, which hold those of all files; signatures do not count. */
export function releaseOf(manifests: readonly SignedManifest[]): string {
  const hash = createHash('sha256');
  for (const { manifest, text } of manifests.toSorted((a, b) => (a.manifest.id < b.manifest.id ? -1 : 1))) hash.update(`${manifest.id} ${createHash('sha256').update(text).digest('hex')}\n`);
  return hash.digest('hex').slice(0, 16);
}

/** Copies tiers to where their release is to lie. Nothing serves it before an alias says so, so one that broke off is taken up again. */
export async function push(source: ArtifactStore, tiers: readonly SignedManifest[], target: WritableStore, progress: Progress): Promise<void> {
  for (const { manifest, text, signature } of tiers) {
    for (const { name, bytes, sha256 } of manifest.files) {
      const path = `${manifest.id}/${name}`;
      if (await target.has(path, bytes)) progress(manifest.id, bytes);
      else await target.put(path, { bytes, sha256, chunks: counted(await chunksOf(source, manifest.id, name), (count) => progress(manifest.id, count)) });
    }
    // The manifest last: whoever finds it finds all that it names.
    if (signature !== undefined) await target.put(signaturePath(manifest.id), textContent(signature));
    await target.put(manifestPath(manifest.id), textContent(text));
  }
}

function textContent(text: string): Content {
  const bytes = Buffer.from(text);
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'), chunks: Readable.from([bytes]) };
}
