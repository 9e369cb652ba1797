/**
 * Whether bytes are what a manifest promises.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { ArtifactCorruptError, ArtifactUnavailableError } from './errors.js';

export interface ExpectedFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Passes chunks through and throws at the end, or as soon as there are too many. @throws {ArtifactCorruptError} */
export async function* verified(chunks: AsyncIterable<Uint8Array>, expected: ExpectedFile): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > expected.bytes) throw new ArtifactCorruptError(`${expected.name}: more than the ${expected.bytes} bytes of the manifest`);
    hash.update(chunk);
    yield chunk;
  }
  if (bytes < expected.bytes) throw new ArtifactCorruptError(`${expected.name}: truncated, ${bytes} of ${expected.bytes} bytes`);
  const sha256 = hash.digest('hex');
  if (sha256 !== expected.sha256) throw new ArtifactCorruptError(`${expected.name}: its sha256 is ${sha256}, not ${expected.sha256}`);
}

/** What a later try will not mend, unlike a lack of file handles or a failing disk. */
const LASTING = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'ELOOP']);

/** @throws {ArtifactCorruptError} if it is wrong or missing, {ArtifactUnavailableError} if it cannot be read just now. */
export async function verifyFile(path: string, expected: ExpectedFile): Promise<void> {
  try {
    for await (const _ of verified(read(path), expected));
  } catch (error) {
    if (error instanceof ArtifactCorruptError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const Failure = LASTING.has(String(code)) ? ArtifactCorruptError : ArtifactUnavailableError;
    throw new Failure(`${expected.name}: cannot be read (${code})`, { cause: error });
  }
}

/** Hex. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of read(path)) hash.update(chunk);
  return hash.digest('hex');
}

/** Large reads: the hash takes a gigabyte a second and more, and is not to wait for 64 kB at a time. */
function read(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: 1 << 20 });
}
