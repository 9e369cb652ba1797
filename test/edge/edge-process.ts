/** The Worker under `wrangler dev`, offline: in workerd, with a local bucket that holds the committed artifact. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Miniflare } from 'miniflare';
import { manifestSchema } from '../../functions/schema/manifest.js';

const ARTIFACT = 'model-core/artifacts/stlm-10m';
const BUCKET = 'stlm-models';
const OFFLINE = { CLOUDFLARE_CF_FETCH_ENABLED: 'false', WRANGLER_SEND_METRICS: 'false' };

export interface EdgeOptions {
  /** Where the local bucket is kept. */
  readonly state: string;
  readonly port?: number;
  /** As `--var` and `.dev.vars` have them. */
  readonly variables: Readonly<Record<string, string>>;
  readonly onLine?: (line: string) => void;
}

export interface EdgeProcess {
  readonly url: string;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

/** The key and the bytes of the model that a Worker runs. @throws if the artifact has none for it */
export async function edgeModel(): Promise<{ readonly key: string; readonly model: Buffer<ArrayBuffer> }> {
  const { id, files } = manifestSchema.parse(JSON.parse(await readFile(join(ARTIFACT, 'manifest.json'), 'utf8')));
  const file = files.find(({ precision }) => precision === 'uint8');
  if (file === undefined) throw new Error(`${ARTIFACT} has no uint8 file: python -m stlm quantize --precision int4 --precision uint8`);
  return { key: `${id}/${file.name}`, model: await readFile(join(ARTIFACT, file.name)) };
}

/** Puts the model where a Worker with the same state finds it. */
export async function seedBucket(state: string): Promise<void> {
  const { key, model } = await edgeModel();
  const script = 'export default { fetch: () => new Response() }';
  const miniflare = new Miniflare({ modules: true, script, r2Buckets: { MODELS: BUCKET }, r2Persist: join(state, 'v3/r2') });
  try {
    const bucket = (await miniflare.getR2Bucket('MODELS')) as unknown as { put(key: string, value: ArrayBuffer): Promise<unknown> };
    // Node's small buffers are parts of larger ones.
    await bucket.put(key, model.buffer.slice(model.byteOffset, model.byteOffset + model.byteLength));
  } finally {
    await miniflare.dispose();
  }
}

export async function startEdge({ state, port = 0, variables, onLine }: EdgeOptions): Promise<EdgeProcess> {
  const vars = Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
  const process = spawn(globalThis.process.execPath, ['node_modules/wrangler/bin/wrangler.js', 'dev', '--local', '--port', String(port), '--persist-to', state, ...vars], {
    env: { ...globalThis.process.env, ...OFFLINE },
    stdio: ['ignore', 'pipe', 'pipe'],
    // workerd is its child: they are stopped together.
    detached: true,
  });
  const output: string[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [process.stdout, process.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        output.push(line);
        onLine?.(line);
        const [, found] = /Ready on (http:\/\/\S+)/.exec(line) ?? [];
        if (found) resolve(found);
      });
    }
    process.once('exit', (code) => reject(new Error(`wrangler dev ended with ${code}:\n${output.join('\n')}`)));
  });
  const stop = async () => {
    if (process.exitCode !== null || process.signalCode !== null) return;
    globalThis.process.kill(-process.pid!, 'SIGTERM');
    await once(process, 'exit');
  };
  return { url, process, stop };
}
