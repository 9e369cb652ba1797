/**
 * Reading over HTTP, for stores. An address may carry a token and headers a signature, so no error repeats either.
 *
 * @module
 */
import { type Dispatcher, request } from 'undici';
import { ArtifactCorruptError, ArtifactMissingError, ArtifactUnavailableError } from './errors.js';
import { TEXT_LIMIT_BYTES } from './store.js';

/** A store that is silent for so long will not answer a request in time anyway. */
const SILENCE_LIMIT_MS = 10_000;

/** S3 says 403 of what is not there to whoever may not list. */
const MISSING = new Set([403, 404]);

type Sending = Pick<Dispatcher.RequestOptions, 'body'> & { readonly method?: 'GET' | 'HEAD' | 'PUT'; readonly headers?: Record<string, string> };

/** @param what is read or written, for the error. @throws {ArtifactUnavailableError} unless the status is 200. */
export async function exchange(url: URL, what: string, sending: Sending = {}): Promise<Dispatcher.ResponseData> {
  let response: Dispatcher.ResponseData;
  try {
    response = await request(url, { ...sending, headersTimeout: SILENCE_LIMIT_MS, bodyTimeout: SILENCE_LIMIT_MS });
  } catch (cause) {
    throw new ArtifactUnavailableError(`${what}: the artifact store does not answer`, { cause });
  }
  if (response.statusCode === 200) return response;
  await response.body.dump().catch(() => undefined);
  const Failure = MISSING.has(response.statusCode) ? ArtifactMissingError : ArtifactUnavailableError;
  throw new Failure(`${what}: the artifact store answered ${response.statusCode}`);
}

export async function* chunksOf(url: URL, what: string, headers: () => Promise<Record<string, string>>): AsyncGenerator<Uint8Array> {
  const response = await exchange(url, what, { headers: await headers() });
  try {
    yield* response.body;
  } catch (cause) {
    throw new ArtifactUnavailableError(`${what}: the artifact store broke off`, { cause });
  }
}

export async function shortText(chunks: AsyncIterable<Uint8Array>, what: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > TEXT_LIMIT_BYTES) throw new ArtifactCorruptError(`${what} is longer than any manifest`);
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString('utf8');
}
