/**
 * Artifacts in a bucket of an S3-compatible store, Cloudflare's R2 among them, in the layout of every store. Requests are signed with AWS's
 * Signature Version 4 by aws4fetch.
 *
 * @module
 */
import { AwsV4Signer } from 'aws4fetch';
import { tierId } from '../schema/manifest.js';
import { ArtifactMissingError } from './errors.js';
import { chunksOf, exchange, shortText } from './http-get.js';
import type { Content, StoredFile, WritableStore } from './store.js';

/** As AWS's own tools name them. */
export interface S3Access {
  /** Of another store than AWS. */
  readonly endpoint?: string | undefined;
  /** `auto` for R2. */
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface S3Location {
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
}

/** Of no bytes. */
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

export class S3Store implements WritableStore {
  readonly #access: S3Access;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor({ bucket, prefix }: S3Location, access: S3Access) {
    this.#access = access;
    const endpoint = access.endpoint ?? `https://s3.${access.region}.amazonaws.com`;
    // The bucket in the path: other stores than AWS often have no name for it as a host.
    this.#bucket = `${endpoint.replace(/\/+$/, '')}/${bucket}`;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
  }

  async tiers(): Promise<readonly string[]> {
    const url = new URL(this.#bucket);
    url.search = new URLSearchParams({ 'list-type': '2', delimiter: '/', prefix: this.#prefix }).toString();
    const listing = await shortText(chunksOf(url, 'the list of tiers', () => this.#signed(url, 'GET', EMPTY_SHA256)), 'the list of tiers');
    const folders = [...listing.matchAll(/<CommonPrefixes>\s*<Prefix>([^<]*)\/<\/Prefix>/g)].map(([, folder]) => folder!.slice(this.#prefix.length));
    return folders.filter((folder) => tierId.safeParse(folder).success);
  }

  text(path: string): Promise<string> {
    return shortText(this.#get(path), path);
  }

  async file(tier: string, name: string): Promise<StoredFile> {
    return { kind: 'remote', chunks: this.#get(`${tier}/${name}`) };
  }

  async has(path: string, bytes: number): Promise<boolean> {
    const url = this.#url(path);
    try {
      const { headers, body } = await exchange(url, path, { method: 'HEAD', headers: await this.#signed(url, 'HEAD', EMPTY_SHA256) });
      await body.dump();
      return Number(headers['content-length']) === bytes;
    } catch (error) {
      if (error instanceof ArtifactMissingError) return false;
      throw error;
    }
  }

  /** The signature covers the sha256, so that the store refuses what arrives damaged. */
  async put(path: string, { bytes, sha256, chunks }: Content): Promise<void> {
    const url = this.#url(path);
    const headers = { ...(await this.#signed(url, 'PUT', sha256)), 'content-length': String(bytes) };
    const { body } = await exchange(url, path, { method: 'PUT', headers, body: chunks as never });
    await body.dump();
  }

  #get(path: string): AsyncGenerator<Uint8Array> {
    const url = this.#url(path);
    return chunksOf(url, path, () => this.#signed(url, 'GET', EMPTY_SHA256));
  }

  #url(path: string): URL {
    return new URL(`${this.#bucket}/${this.#prefix}${path}`);
  }

  async #signed(url: URL, method: string, sha256: string): Promise<Record<string, string>> {
    const { region, accessKeyId, secretAccessKey, sessionToken } = this.#access;
    const secrets = { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
    const { headers } = await new AwsV4Signer({ ...secrets, url: url.href, method, region, service: 's3', headers: { 'x-amz-content-sha256': sha256 } }).sign();
    return Object.fromEntries(headers);
  }
}
