/**
 * Model files in an R2 bucket, at `<tier>/<file>` as everywhere else. Knows no runtime: the bucket is what a Worker is given.
 *
 * @module
 */
import type { Manifest, Precision } from '../schema/manifest.js';
import { ArtifactCorruptError, ArtifactUnavailableError } from './errors.js';

/** The part of Cloudflare's R2Bucket that is used. */
export interface Bucket {
  get(key: string): Promise<{ readonly size: number; arrayBuffer(): Promise<ArrayBuffer> } | null>;
}

/**
 * The file of a precision, once its size and sha256 are those of the manifest.
 *
 * @throws {ArtifactCorruptError} if it is damaged or missing: it is the operator's to mend. {ArtifactUnavailableError} if the bucket does not answer.
 */
export async function readModel(bucket: Bucket, { id, files }: Pick<Manifest, 'id' | 'files'>, precision: Precision): Promise<Uint8Array> {
  const file = files.find((each) => each.precision === precision);
  if (file === undefined) throw new ArtifactCorruptError(`${id}: its manifest has no ${precision} file`);
  const key = `${id}/${file.name}`;
  const object = await answer(key, bucket.get(key));
  if (object === null) throw new ArtifactCorruptError(`${key} is not in the bucket`);
  // Before it takes memory: an isolate has little.
  if (object.size !== file.bytes) throw new ArtifactCorruptError(`${key}: ${object.size} bytes, not the ${file.bytes} of the manifest`);
  const model = await answer(key, object.arrayBuffer());
  const sha256 = hex(await crypto.subtle.digest('SHA-256', model));
  if (sha256 !== file.sha256) throw new ArtifactCorruptError(`${key}: its sha256 is ${sha256}, not ${file.sha256}`);
  return new Uint8Array(model);
}

async function answer<T>(key: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    throw new ArtifactUnavailableError(`${key}: the bucket does not answer`, { cause });
  }
}

function hex(digest: ArrayBuffer): string {
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
