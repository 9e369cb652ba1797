/** Our engine, through the same pool and registry as the server's. Samples at temperature 0.8: the noise it costs is part of the figure. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerPool } from '../../../functions/engine/pool.js';
import { startThread } from '../../../functions/engine/thread.js';
import { ModelFileCache } from '../../../functions/registry/fetch.js';
import { FolderStore } from '../../../functions/registry/folder-store.js';
import { Registry } from '../../../functions/registry/registry.js';
import { englishText } from '../../load/english.js';
import { median } from '../statistics.js';
import { answer, FIRST_BYTE_PROBES, type Measurement, PROMPT_BYTES, residentMiB, type StlmTask } from './protocol.js';

/** A server's worker threads are up long before a tier is asked for; nothing says when they are. */
const THREAD_START_MS = 500;

async function measure({ artifacts, tier, preparedFolder, threads, decodeBytes }: StlmTask): Promise<Measurement> {
  const registry = await Registry.open(new FolderStore(artifacts), new ModelFileCache(preparedFolder));
  const workerUrl = new URL('../../../functions/engine/worker.js', import.meta.url);
  const pool = new WorkerPool({
    registry,
    workerUrl,
    firstThread: startThread(workerUrl),
    workers: 1,
    threads,
    preparedFolder,
  });
  const placement = { tier, worker: 0 };
  await sleep(THREAD_START_MS);
  const beginMs = performance.now();
  await pool.load(placement);
  const coldLoadMs = performance.now() - beginMs;

  const prompt = new TextEncoder().encode(englishText(PROMPT_BYTES));
  const run = async (maxBytes: number, seed: number) => {
    const options = { prompt, maxBytes, seed, temperature: 0.8, topP: 1, topK: 0, stop: [], logitBias: new Map<number, number>(), cacheSalt: `${seed}`, deadlineAtMs: Infinity };
    const beginMs = performance.now();
    const arrivals: { atMs: number; bytes: number }[] = [];
    for await (const { bytes } of pool.generate(placement, options, new AbortController().signal)) arrivals.push({ atMs: performance.now(), bytes: bytes.length });
    return { firstByteMs: (arrivals[0]?.atMs ?? performance.now()) - beginMs, arrivals };
  };

  await run(64, 0);
  const firstByteMs = [];
  for (let probe = 0; probe < FIRST_BYTE_PROBES; probe += 1) firstByteMs.push((await run(1, probe)).firstByteMs);

  // A trained model may end its text: several texts make up the amount.
  let bytes = 0;
  let patches = 0;
  let decodingMs = 0;
  for (let seed = 0; bytes < decodeBytes; seed += 1) {
    const { arrivals } = await run(decodeBytes, seed);
    if (arrivals.length < 2) continue;
    patches += arrivals.length - 1;
    bytes += arrivals.slice(1).reduce((sum, arrival) => sum + arrival.bytes, 0);
    decodingMs += arrivals.at(-1)!.atMs - arrivals[0]!.atMs;
  }
  const bytesPerSecond = (bytes / decodingMs) * 1_000;
  return { coldLoadMs, firstByteMs: median(firstByteMs), bytesPerSecond, patchMs: decodingMs / patches, residentMiB: residentMiB() };
}

await answer(measure);
