/**
 * Cold starts where no port is listened on: the streaming handler of a Lambda function, and the Worker in workerd. A peer there would be
 * node-llama-cpp in the handler, which is the bare process that `bench cold` starts; no other runtime of language models is known to run in workerd.
 */
import { fork } from 'node:child_process';
import { on, once } from 'node:events';
import { join } from 'node:path';
import { bundleWorker, seedFolder, startWorker } from '../edge/worker-process.js';
import { functionUrl } from '../node/lambda/events.js';

/** Of one start, from its beginning. */
export interface Start {
  readonly listeningMs?: number;
  readonly firstByteMs: number;
  /** `/readyz` says so. */
  readonly readyMs?: number;
}

export interface Contender {
  readonly system: string;
  readonly start: () => Promise<Start>;
}

interface Place {
  readonly artifacts: string;
  readonly node: string;
  /** A request for text, streamed. */
  readonly body: string;
}

const PATH = '/v1/completions';
const LONGEST_INVOCATION_MS = 30_000;

/** What stands for AWS's runtime client is that of the tests. */
export function lambdaFunction({ artifacts, node, body }: Place): Contender {
  return {
    system: 'stlm, Lambda handler',
    start: async () => {
      const env = { ...process.env, STLM_ARTIFACTS: artifacts, STLM_OPEN: 'true', LOG_LEVEL: 'silent' };
      const startMs = performance.now();
      const child = fork('test/node/lambda/runtime.mjs', { execPath: node, env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
      try {
        await Promise.race([once(child, 'message'), once(child, 'exit').then(([code]) => Promise.reject(new Error(`the function ended with ${code}`)))]);
        const messages = on(child, 'message');
        child.send({ handler: 'streaming', event: functionUrl({ path: PATH, body }), remainingMs: LONGEST_INVOCATION_MS });
        for await (const [{ chunk }] of messages as AsyncIterable<[{ readonly chunk?: string }]>) {
          // Before it come the status and the headers.
          if (chunk?.includes('data: ') === true) return { firstByteMs: performance.now() - startMs };
        }
        throw new Error('no text');
      } finally {
        child.kill('SIGKILL');
      }
    },
  };
}

/** Miniflare's own start in this process is in it, and the model is in its bucket already. */
export async function worker(folder: string, body: string): Promise<Contender> {
  const bundle = await bundleWorker(join(folder, 'worker', 'bundle'));
  const bucket = join(folder, 'worker', 'bucket');
  await seedFolder(bucket);
  return {
    system: 'stlm, Worker in workerd',
    start: async () => {
      const startMs = performance.now();
      const edge = await startWorker(bundle, { STLM_OPEN: 'true' }, bucket);
      try {
        const response = await fetch(`${edge.url}${PATH}`, { method: 'POST', body });
        const reader = response.body!.getReader();
        const { value } = await reader.read();
        if (!response.ok) throw new Error(new TextDecoder().decode(value));
        const firstByteMs = performance.now() - startMs;
        await reader.cancel();
        return { firstByteMs };
      } finally {
        await edge.stop();
      }
    },
  };
}
