/**
 * Artifacts behind `<base>/<tier>/manifest.json` and `<base>/<tier>/<file>`. The base address is the operator's and may carry a
 * token, so no error repeats it.
 *
 * @module
 */
import { chunksOf, shortText } from './http-get.js';
import type { ArtifactStore, StoredFile } from './store.js';

export class HttpStore implements ArtifactStore {
  readonly #base: URL;
  readonly #tiers: readonly string[];

  /** `tiers`: HTTP has no listing, so the operator names what is to be served. */
  constructor(base: URL, tiers: readonly string[]) {
    this.#base = base.pathname.endsWith('/') ? base : new URL(`${base.pathname}/${base.search}`, base);
    this.#tiers = tiers;
  }

  async tiers(): Promise<readonly string[]> {
    return this.#tiers;
  }

  text(path: string): Promise<string> {
    return shortText(this.#get(path), path);
  }

  async file(tier: string, name: string): Promise<StoredFile> {
    return { kind: 'remote', chunks: this.#get(`${tier}/${name}`) };
  }

  #get(path: string): AsyncGenerator<Uint8Array> {
    const url = new URL(path, this.#base);
    // A base address with a query (a signed one) passes it on.
    url.search = this.#base.search;
    return chunksOf(url, path, async () => ({}));
  }
}
