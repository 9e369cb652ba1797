/**
 * Artifacts in a folder of this machine, a subfolder a tier: the default.
 *
 * @module
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tierId } from '../schema/manifest.js';
import { ArtifactUnavailableError } from './errors.js';
import type { ArtifactStore, StoredFile } from './store.js';

export class FolderStore implements ArtifactStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async tiers(): Promise<readonly string[]> {
    const entries = await reading(`the artifact folder ${this.#folder}`, readdir(this.#folder, { withFileTypes: true }));
    return entries.filter((entry) => entry.isDirectory() && tierId.safeParse(entry.name).success).map((entry) => entry.name);
  }

  async manifest(tier: string): Promise<string> {
    return reading(`${tier}/manifest.json`, readFile(join(this.#folder, tier, 'manifest.json'), 'utf8'));
  }

  async file(tier: string, name: string): Promise<StoredFile> {
    return { kind: 'local', path: join(this.#folder, tier, name) };
  }
}

async function reading<T>(what: string, content: Promise<T>): Promise<T> {
  try {
    return await content;
  } catch (cause) {
    throw new ArtifactUnavailableError(`${what} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}
