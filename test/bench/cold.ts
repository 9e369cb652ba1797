/**
 * `bench cold`: what somebody waits who finds no server running. The clock starts when a process is spawned, and ends when this one has
 * the first byte of text. Ours is asked over HTTP as a client would, again and again until it answers; llama.cpp runs in a bare process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { Registry } from '../../functions/registry/registry.js';
import type { Manifest } from '../../functions/schema/manifest.js';
import { freePort } from '../fleet/free-port.js';
import { edgeModel } from '../edge/worker-process.js';
import { missingPackage } from './child.js';
import { type Contender, lambdaFunction, type Start, worker } from './cold-places.js';
import { llamaFile, shapesAt } from './entrants.js';
import { busyWarning, describeMachine } from './machine.js';
import { spread } from './statistics.js';
import type { LlamaCppColdTask } from './systems/protocol.js';
import { table } from './table.js';

export interface ColdOptions {
  readonly artifacts: string;
  readonly tiers: readonly string[] | undefined;
  readonly repeats: number;
  readonly node: string;
  readonly folder: string;
  readonly json: string | undefined;
}

const SERVERS = { 'dist': 'dist/functions/entries/node.js', 'bundle': 'bundle/functions/entries/node.js' };
const PROMPT = 'Once upon a time';
const PROMPT_TOKENS = 4;
const CONTEXT_TOKENS = 512;
const RETRY_MS = 2;
const LONGEST_START_MS = 30_000;

export async function benchCold(options: ColdOptions): Promise<void> {
  const machine = describeMachine();
  const warning = busyWarning(machine);
  if (warning !== undefined) console.error(warning);
  await mkdir(options.folder, { recursive: true });
  const { manifests } = await Registry.open(new FolderStore(options.artifacts), new ModelFileCache(options.folder));
  const report = [];
  for (const manifest of manifests.filter(({ id }) => options.tiers?.includes(id) ?? true)) {
    const contenders = [...ours(manifest, options), ...(await elsewhere(manifest, options)), ...(await llamaCpp(manifest, options))];
    const starts = contenders.map((): Start[] => []);
    // The first round fills caches, of the disk and of V8.
    for (let round = 0; round <= options.repeats; round += 1) {
      for (const [index, { start }] of contenders.entries()) {
        const measured = await start();
        if (round > 0) starts[index]!.push(measured);
      }
    }
    const rows = contenders.map(({ system }, index) => [system, ...figures(starts[index]!)]);
    console.log(`\n${manifest.id}\n${table(['', 'listening, ms', 'first byte, ms', 'from-to', 'ready, ms'], rows)}`);
    report.push({ tier: manifest.id, starts: contenders.map(({ system }, index) => ({ system, starts: starts[index] })) });
  }
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ date: new Date().toISOString(), machine, node: options.node, tiers: report }, null, 2)}\n`);
  }
}

function figures(starts: readonly Start[]): string[] {
  const of = (moment: keyof Start) => spread(starts.flatMap((start) => start[moment] ?? []));
  const shown = (ms: number) => (Number.isNaN(ms) ? '-' : ms.toFixed(0));
  const { median, least, most } = of('firstByteMs');
  return [shown(of('listeningMs').median), shown(median), `${shown(least)}-${shown(most)}`, shown(of('readyMs').median)];
}

function ours({ id: tier }: Manifest, { artifacts, node, folder }: ColdOptions): Contender[] {
  const kept = join(folder, 'cold');
  return Object.entries(SERVERS)
    .filter(([name, entry]) => existsSync(entry) || void console.error(`${name} is left out: run "npm run ${name === 'dist' ? 'build' : name}"`))
    .flatMap(([name, entry]) => [
      { system: `stlm, ${name}, prepared before`, start: () => startServer({ node, entry, tier, artifacts, cache: kept }) },
      {
        system: `stlm, ${name}, nothing prepared`,
        start: async () => {
          const cache = await mkdtemp(join(tmpdir(), 'stlm-cold-'));
          return startServer({ node, entry, tier, artifacts, cache }).finally(() => rm(cache, { recursive: true, force: true }));
        },
      },
    ]);
}

/** Only the tier that a Worker runs: a function loads a larger one when it is asked for it. */
async function elsewhere({ id }: Manifest, { artifacts, node, folder }: ColdOptions): Promise<Contender[]> {
  if (id !== (await edgeModel()).manifest.id) return [];
  const body = requestFor(id);
  return [lambdaFunction({ artifacts, node, body }), await worker(folder, body)];
}

function requestFor(tier: string): string {
  return JSON.stringify({ model: tier, prompt: PROMPT, max_tokens: 16, stream: true, latency_budget_ms: LONGEST_START_MS });
}

async function llamaCpp({ id, parameters }: Manifest, { node, folder }: ColdOptions): Promise<Contender[]> {
  const missing = missingPackage('node-llama-cpp');
  if (missing !== undefined) console.error(missing);
  const shapes = missing === undefined ? shapesAt(parameters.unique) : [];
  const program = fileURLToPath(new URL('systems/llama-cpp-cold.js', import.meta.url));
  return Promise.all(
    shapes.map(async (shape) => {
      const model = await llamaFile(id, shape, 'Q4_0', folder);
      const task: LlamaCppColdTask = { model, threads: availableParallelism(), promptTokens: PROMPT_TOKENS, contextTokens: CONTEXT_TOKENS };
      return { system: `node-llama-cpp, ${shape.layers}x${shape.width}`, start: () => startPeer(node, [program, JSON.stringify(task)]) };
    }),
  );
}

async function startPeer(node: string, args: readonly string[]): Promise<Start> {
  const startMs = performance.now();
  const child = spawn(node, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await Promise.race([once(child.stdout, 'data'), failure(child)]);
  const firstByteMs = performance.now() - startMs;
  await end(child);
  return { firstByteMs };
}

interface ServerStart {
  readonly node: string;
  readonly entry: string;
  readonly tier: string;
  readonly artifacts: string;
  readonly cache: string;
}

async function startServer({ node, entry, tier, artifacts, cache }: ServerStart): Promise<Start> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const body = requestFor(tier);
  const environment = { ...process.env, PORT: String(port), HOST: '127.0.0.1', STLM_ARTIFACTS: artifacts, STLM_CACHE: cache, LOG_LEVEL: 'silent' };
  const startMs = performance.now();
  const since = () => performance.now() - startMs;
  const child = spawn(node, [entry], { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  const listening = once(child.stdout, 'data').then(since);
  const firstByte = until(() => fetch(`${url}/v1/completions`, { method: 'POST', body })).then(async (response) => {
    const reader = response.body!.getReader();
    await reader.read();
    const firstByteMs = since();
    await reader.cancel();
    return firstByteMs;
  });
  const start = async (): Promise<Start> => {
    const firstByteMs = await firstByte;
    await until(() => fetch(`${url}/readyz`));
    return { listeningMs: await listening, firstByteMs, readyMs: since() };
  };
  try {
    return await Promise.race([start(), failure(child)]);
  } finally {
    await end(child);
  }
}

/** Tried until it is answered, and answered well. */
async function until(ask: () => Promise<Response>): Promise<Response> {
  const latestMs = performance.now() + LONGEST_START_MS;
  for (;;) {
    const response = await ask().catch(() => undefined);
    if (response?.ok === true) return response;
    await response?.body?.cancel();
    if (performance.now() > latestMs) throw new Error(`no answer within ${LONGEST_START_MS} ms`);
    await sleep(RETRY_MS);
  }
}

async function failure(child: ChildProcess): Promise<never> {
  const [code] = (await once(child, 'exit')) as [number | null];
  throw new Error(`it ended with ${code} before any text`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
