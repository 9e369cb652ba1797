/**
 * Artifacts in a folder of this machine, a subfolder a tier: the default.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { tierId } from '../schema/manifest.js';
import { syncFolder, writeDurably } from './durable.js';
import { ArtifactMissingError, ArtifactUnavailableError } from './errors.js';
import type { StoredFile, WritableStore } from './store.js';

export class FolderStore implements WritableStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async tiers(): Promise<readonly string[]> {
    const entries = await reading(`the artifact folder ${this.#folder}`, readdir(this.#folder, { withFileTypes: true }));
    return entries.filter((entry) => entry.isDirectory() && tierId.safeParse(entry.name).success).map((entry) => entry.name);
  }

  text(path: string): Promise<string> {
    return reading(path, readFile(join(this.#folder, path), 'utf8'));
  }

  async file(tier: string, name: string): Promise<StoredFile> {
    return { kind: 'local', path: join(this.#folder, tier, name) };
  }

  async has(path: string, bytes: number): Promise<boolean> {
    return (await stat(join(this.#folder, path)).catch(() => undefined))?.size === bytes;
  }

  async put(path: string, { chunks }: { readonly chunks: Parameters<typeof writeDurably>[1] }): Promise<void> {
    const target = join(this.#folder, path);
    const partial = `${target}.${randomUUID()}.part`;
    await mkdir(dirname(target), { recursive: true });
    try {
      await writeDurably(partial, chunks);
      await rename(partial, target);
      await syncFolder(dirname(target));
    } finally {
      await rm(partial, { force: true });
    }
  }
}

async function reading<T>(what: string, content: Promise<T>): Promise<T> {
  try {
    return await content;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const Failure = code === 'ENOENT' ? ArtifactMissingError : ArtifactUnavailableError;
    throw new Failure(`${what} cannot be read (${code})`, { cause });
  }
}
