/**
 * A real S3-compatible server in this process: s3rver, with an empty bucket. It takes any signature of version 4, so AWS's own signer stands
 * before it and compares. It also shows objects that are half written, which S3 never does, so requests for one are served one by one.
 */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import { createRequire } from 'node:module';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { SignatureV4 } from '@smithy/signature-v4';

interface S3rver {
  callback(): RequestListener;
  configureBuckets(): Promise<unknown>;
  readonly store: {
    putObject(object: { readonly bucket: string; readonly key: string }): Promise<{ readonly size: number }>;
    getResourcePath(bucket: string, key: string, resource: 'object'): string;
  };
}

const S3rver = createRequire(import.meta.url)('s3rver') as new (options: object) => S3rver;

export const BUCKET = 'models';
const [ID, SECRET, REGION] = ['S3RVER', 'a secret of the tests', 'eu-test-1'];

export interface S3Server {
  /** The settings that reach it. */
  readonly environment: Record<string, string>;
  /** How often something of this name has been read. */
  reads(name: string): number;
  close(): Promise<void>;
}

export async function startS3(): Promise<S3Server> {
  const directory = await mkdtemp(join(tmpdir(), 'stlm-s3-'));
  const s3rver = new S3rver({ silent: true, directory, configureBuckets: [{ name: BUCKET }] });
  await s3rver.configureBuckets();
  answerOnceWritten(s3rver.store);
  const answer = s3rver.callback();
  const read: string[] = [];
  const served = new Map<string, Promise<unknown>>();
  const server = createServer(async (request, response) => {
    const path = new URL(request.url!, 'http://s3').pathname;
    const before = served.get(path);
    served.set(path, Promise.all([before, once(response, 'close')]));
    await before;
    if (request.method === 'GET') read.push(path.split('/').at(-1)!);
    if (await isSigned(request)) answer(request, response);
    else response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error><Code>SignatureDoesNotMatch</Code></Error>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    environment: { AWS_ENDPOINT_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, AWS_REGION: REGION, AWS_ACCESS_KEY_ID: ID, AWS_SECRET_ACCESS_KEY: SECRET },
    reads: (name) => read.filter((each) => each === name).length,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      await rm(directory, { recursive: true });
    },
  };
}

/** It would do so when it has read what is to be written. */
function answerOnceWritten(store: S3rver['store']): void {
  const put = store.putObject.bind(store);
  store.putObject = async (object) => {
    const written = await put(object);
    const path = store.getResourcePath(object.bucket, object.key, 'object');
    while ((await stat(path)).size < written.size) await turn();
    return written;
  };
}

async function isSigned({ method, url, headers }: IncomingMessage): Promise<boolean> {
  const [, signed] = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '') ?? [];
  if (signed === undefined) return false;
  const signingDate = new Date(String(headers['x-amz-date']).replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  const { pathname, searchParams, host, hostname } = new URL(url!, `http://${headers.host}`);
  const request = {
    method: method!,
    protocol: 'http:',
    hostname,
    path: pathname,
    query: Object.fromEntries(searchParams),
    headers: { ...Object.fromEntries(signed.split(';').map((name) => [name, String(headers[name])])), host },
  };
  const signer = new SignatureV4({ service: 's3', region: REGION, credentials: { accessKeyId: ID, secretAccessKey: SECRET }, sha256: Sha256, uriEscapePath: false });
  const { headers: expected } = await signer.sign(request, { signingDate });
  return expected['authorization'] === headers.authorization;
}

/** As the signer wants to be given it. */
class Sha256 {
  readonly #hash: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', typeof secret === 'string' ? secret : Buffer.from(secret as Uint8Array));
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}
