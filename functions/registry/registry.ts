/**
 * The models this server may serve: which there are, and for each a verified file on this machine.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto';
import { type Manifest, tierId } from '../schema/manifest.js';
import { ArtifactCorruptError, ArtifactMissingError, ArtifactUnavailableError, isArtifactError } from './errors.js';
import type { ModelFileCache } from './fetch.js';
import { defaultFile } from './manifest.js';
import { readManifest } from './read-manifest.js';
import type { ArtifactStore } from './store.js';
import { verifyFile } from './verify.js';

/** A model file whose size and sha256 are the manifest's. */
export interface LocalModel {
  readonly manifest: Manifest;
  readonly path: string;
  readonly sha256: string;
}

export class Registry {
  /** Ascending by unique parameters. */
  readonly manifests: readonly Manifest[];
  readonly #store: ArtifactStore;
  readonly #cache: ModelFileCache;
  readonly #quarantine: Map<string, string>;
  readonly #models = new Map<string, Promise<LocalModel>>();

  /**
   * Reads every manifest. One that is no good, or missing, quarantines its tier and leaves the others alone.
   * @param trusted keys of which one must have signed it; none: whoever can write to the store is trusted.
   * @throws {ArtifactUnavailableError} when the store does not answer: without that tier the server would be another one until its restart.
   */
  static async open(store: ArtifactStore, cache: ModelFileCache, trusted: readonly KeyObject[] = []): Promise<Registry> {
    const manifests: Manifest[] = [];
    const quarantine = new Map<string, string>();
    await Promise.all(
      (await store.tiers()).map(async (tier) => {
        try {
          if (!tierId.safeParse(tier).success) throw new ArtifactCorruptError('a tier id looks like stlm-10m');
          manifests.push(await readManifest(store, tier, trusted));
        } catch (error) {
          if (error instanceof ArtifactUnavailableError && !(error instanceof ArtifactMissingError)) throw error;
          quarantine.set(tier, reasonOf(error));
        }
      }),
    );
    // Of the same size, by name: a folder lists them in any order.
    manifests.sort((a, b) => a.parameters.unique - b.parameters.unique || (a.id < b.id ? -1 : 1));
    return new Registry(store, cache, manifests, quarantine);
  }

  private constructor(store: ArtifactStore, cache: ModelFileCache, manifests: readonly Manifest[], quarantine: Map<string, string>) {
    this.#store = store;
    this.#cache = cache;
    this.manifests = manifests;
    this.#quarantine = quarantine;
  }

  /** Tier to the reason it is not served. */
  get quarantine(): ReadonlyMap<string, string> {
    return this.#quarantine;
  }

  /**
   * Fetches (once) and verifies (once a process) the file of a tier.
   * @throws {ArtifactCorruptError} and quarantines the tier; {ArtifactUnavailableError}, after which the next call tries again.
   */
  model(tier: string): Promise<LocalModel> {
    const known = this.#models.get(tier);
    if (known !== undefined) return known;
    const model = this.#open(tier).catch((error: unknown) => {
      if (error instanceof ArtifactCorruptError) this.#quarantine.set(tier, error.message);
      else this.#models.delete(tier);
      throw error;
    });
    this.#models.set(tier, model);
    return model;
  }

  /** Verifies the files that lie on this machine already, so that a corrupt one shows before a request wants it. Downloads nothing. */
  async verifyLocal(): Promise<void> {
    for (const manifest of this.manifests) {
      const { kind } = await this.#store.file(manifest.id, defaultFile(manifest).name);
      // What is corrupt is now quarantined; what could not be read just now is for a later load to report.
      if (kind === 'local') await this.model(manifest.id).catch(() => undefined);
    }
  }

  /** Verifies quarantined files once more, and lets those go that are whole. */
  async requalify(): Promise<void> {
    for (const { id } of this.manifests.filter(({ id }) => this.#quarantine.has(id))) {
      try {
        this.#models.set(id, Promise.resolve(await this.#open(id)));
        this.#quarantine.delete(id);
      } catch (error) {
        this.#quarantine.set(id, reasonOf(error));
      }
    }
  }

  async #open(tier: string): Promise<LocalModel> {
    const manifest = this.manifests.find(({ id }) => id === tier);
    if (manifest === undefined) throw new ArtifactCorruptError(this.#quarantine.get(tier) ?? `there is no tier ${tier}`);
    const file = defaultFile(manifest);
    const stored = await this.#store.file(tier, file.name);
    if (stored.kind === 'local') {
      await verifyFile(stored.path, file);
      return { manifest, path: stored.path, sha256: file.sha256 };
    }
    const path = await this.#cache.obtain(file, () => stored.chunks);
    return { manifest, path, sha256: file.sha256 };
  }
}

function reasonOf(error: unknown): string {
  if (isArtifactError(error)) return error.message;
  throw error;
}
