/** The Worker as it is deployed, in a workerd of this machine, offline, with the committed artifact in its bucket. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { Miniflare } from 'miniflare';
import { WebSocket } from 'undici';
import type { Readiness } from '../../functions/schema/health.js';
import { manifestSchema } from '../../functions/schema/manifest.js';

const ARTIFACT = 'model-core/artifacts/stlm-10m';
export const WRANGLER = 'node_modules/wrangler/bin/wrangler.js';
export const OFFLINE = { CLOUDFLARE_CF_FETCH_ENABLED: 'false', WRANGLER_SEND_METRICS: 'false' };

/** What of wrangler.toml a Worker without wrangler has to be told. */
const RUNTIME = {
  compatibilityDate: '2026-04-01',
  compatibilityFlags: ['enable_request_signal', 'request_signal_passthrough'],
  ratelimits: { LIMITER: { simple: { limit: 600, period: 60 as const } } },
};

/** The committed model that a Worker runs, and its key in the bucket. @throws if there is none */
export async function edgeModel() {
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(ARTIFACT, 'manifest.json'), 'utf8')));
  const file = manifest.files.find(({ precision }) => precision === 'uint8');
  if (file === undefined) throw new Error(`${ARTIFACT} has no uint8 file: python -m stlm quantize --precision int4 --precision uint8`);
  return { manifest, path: join(ARTIFACT, file.name), sha256: file.sha256, key: `${manifest.id}/${file.name}` };
}

const BUCKET = { MODELS: 'stlm-models' };

/** Puts the model into a bucket that is kept in a folder, as `wrangler dev --persist-to` and Miniflare keep it. */
export async function seedFolder(folder: string): Promise<void> {
  const miniflare = new Miniflare({ modules: true, script: 'export default {}', r2Buckets: BUCKET, r2Persist: folder });
  await seedBucket(miniflare).finally(() => miniflare.dispose());
}

async function seedBucket(miniflare: Miniflare): Promise<void> {
  const { key, path } = await edgeModel();
  const bucket = (await miniflare.getR2Bucket('MODELS')) as unknown as { put(key: string, value: ArrayBuffer): Promise<unknown> };
  await bucket.put(key, Uint8Array.from(await readFile(path)).buffer);
}

export type Bundle = readonly { readonly name: string; readonly contents: Buffer }[];

/** What `wrangler deploy` would upload; the entry first. */
export async function bundleWorker(folder: string): Promise<Bundle> {
  await promisify(execFile)(process.execPath, [WRANGLER, 'deploy', '--dry-run', '--outdir', folder], { env: { ...process.env, ...OFFLINE } });
  const names = (await readdir(folder)).filter((name) => /\.(?:js|wasm)$/.test(name)).toSorted();
  const modules = await Promise.all(names.map(async (name) => ({ name, contents: await readFile(join(folder, name)) })));
  return modules.toSorted((a, b) => Number(b.name.endsWith('.js')) - Number(a.name.endsWith('.js')));
}

export interface WorkerProcess {
  readonly url: string;
  readonly inspectorUrl: URL;
  /** Everything it logged so far. */
  readonly output: readonly string[];
  stop(): Promise<void>;
}

/** @param seeded the folder of a bucket that has the model; without one it is put into a bucket in memory */
export async function startWorker(bundle: Bundle, variables: Readonly<Record<string, string>>, seeded?: string): Promise<WorkerProcess> {
  const output: string[] = [];
  const miniflare = new Miniflare({
    ...RUNTIME,
    modules: bundle.map(({ name, contents }) => ({ type: name.endsWith('.js') ? 'ESModule' : 'CompiledWasm', path: name, contents })),
    r2Buckets: BUCKET,
    ...(seeded !== undefined && { r2Persist: seeded }),
    bindings: { ...variables },
    inspectorPort: 0,
    handleRuntimeStdio: (...streams: Readable[]) => {
      for (const stream of streams) createInterface({ input: stream }).on('line', (line) => output.push(line));
    },
  });
  if (seeded === undefined) await seedBucket(miniflare);
  const [url, inspectorUrl] = [await miniflare.ready, await miniflare.getInspectorURL()];
  return { url: url.origin, inspectorUrl, output, stop: () => miniflare.dispose() };
}

/** What an isolate's limit of 128 MiB counts: V8's heap with its array buffers, and what ONNX Runtime takes, which V8 does not count. */
export async function isolateBytes({ url, inspectorUrl }: WorkerProcess): Promise<{ readonly heap: number; readonly runtime: number }> {
  const { tiers } = (await (await fetch(`${url}/readyz`)).json()) as Readiness;
  const socket = new WebSocket(new URL('/core:user:', inspectorUrl));
  await once(socket, 'open');
  const answer = once(socket, 'message') as Promise<[{ readonly data: string }]>;
  socket.send('{"id":1,"method":"Runtime.getHeapUsage"}');
  const [{ data }] = await answer;
  socket.close();
  const { result } = JSON.parse(data) as { result: { usedSize: number; backingStorageSize: number } };
  return { heap: result.usedSize + result.backingStorageSize, runtime: tiers[0]!.memory_bytes };
}
