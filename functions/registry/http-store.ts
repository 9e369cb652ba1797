/**
 * Artifacts behind `<base>/<tier>/manifest.json` and `<base>/<tier>/<file>`. The base address is the operator's and may carry a
 * token, so no error repeats it.
 *
 * @module
 */
import { type Dispatcher, request } from 'undici';
import { ArtifactUnavailableError } from './errors.js';
import type { ArtifactStore, StoredFile } from './store.js';

/** No manifest is anywhere near this; a store that sends more is not one. */
const MANIFEST_LIMIT_BYTES = 1 << 20;
/** A store that is silent for so long will not answer a request in time anyway. */
const SILENCE_LIMIT_MS = 10_000;

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

  async manifest(tier: string): Promise<string> {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of this.#get(tier, 'manifest.json')) {
      bytes += chunk.length;
      if (bytes > MANIFEST_LIMIT_BYTES) throw new ArtifactUnavailableError(`${tier}/manifest.json is longer than any manifest`);
      parts.push(chunk);
    }
    return Buffer.concat(parts).toString('utf8');
  }

  async file(tier: string, name: string): Promise<StoredFile> {
    return { kind: 'remote', chunks: this.#get(tier, name) };
  }

  async *#get(tier: string, name: string): AsyncGenerator<Uint8Array> {
    const url = new URL(`${tier}/${name}`, this.#base);
    // A base address with a query (a signed one) passes it on.
    url.search = this.#base.search;
    let response: Dispatcher.ResponseData;
    try {
      response = await request(url, { headersTimeout: SILENCE_LIMIT_MS, bodyTimeout: SILENCE_LIMIT_MS });
    } catch (cause) {
      throw new ArtifactUnavailableError(`${tier}/${name}: the artifact store does not answer`, { cause });
    }
    if (response.statusCode !== 200) {
      await response.body.dump().catch(() => undefined);
      throw new ArtifactUnavailableError(`${tier}/${name}: the artifact store answered ${response.statusCode}`);
    }
    try {
      yield* response.body;
    } catch (cause) {
      throw new ArtifactUnavailableError(`${tier}/${name}: the artifact store broke off`, { cause });
    }
  }
}
