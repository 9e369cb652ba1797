/** Where the time of a decoded patch goes: one text through the pool with clocks in its worker, then one with the runtime's profiler on. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PATCH_CAP } from '../../../functions/engine/patch.js';
import { WorkerPool } from '../../../functions/engine/pool.js';
import { PatchNoise, SeededRandom } from '../../../functions/engine/sample.js';
import { ModelFileCache } from '../../../functions/registry/fetch.js';
import { FolderStore } from '../../../functions/registry/folder-store.js';
import { Registry } from '../../../functions/registry/registry.js';
import { englishText } from '../../load/english.js';
import type { WorkerProfile } from './profiled-worker.js';
import { answer, type ProfileMeasurement, PROMPT_BYTES, type StlmTask } from './protocol.js';

const TEMPERATURE = 0.8;
/** Enough patches for a mean over all contexts, and a profile that can still be parsed. */
const TEXT_BYTES = 1_024;
const NOISE_REPEATS = 5_000;

/** As the runtime's profiler writes it; times in whole microseconds. */
interface ProfilerEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args: { readonly op_name?: string };
}

async function measure(task: StlmTask): Promise<ProfileMeasurement> {
  const folder = await mkdtemp(join(tmpdir(), 'stlm-profile-'));
  try {
    const plain = await profiled(task, join(folder, 'plain.json'));
    process.env['STLM_PROFILE_NODES'] = join(folder, 'nodes');
    const slow = await profiled(task, join(folder, 'slow.json'));
    const nodes = (await readdir(folder)).find((name) => name.startsWith('nodes'));
    const events = JSON.parse(await readFile(join(folder, nodes!), 'utf8')) as ProfilerEvent[];

    const decodes = plain.runs.flatMap((run, index) => (run.decodes && plain.runs[index - 1]?.decodes ? [{ run, before: plain.runs[index - 1]! }] : []));
    return {
      graphUs: 1_000 * mean(decodes.map(({ run }) => run.graphMs)),
      bindingUs: 1_000 * mean(decodes.map(({ run }) => run.endMs - run.beginMs - run.graphMs)),
      betweenUs: 1_000 * mean(decodes.map(({ run, before }) => run.beginMs - before.endMs)),
      samplingUs: samplingUs(TEXT_BYTES / plain.runs.filter(({ decodes }) => decodes).length),
      messagesUs: messagesUs(plain),
      nodes: byOperator(slow, events),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function profiled({ artifacts, tier, preparedFolder, threads }: StlmTask, report: string): Promise<WorkerProfile> {
  process.env['STLM_PROFILE_REPORT'] = report;
  const registry = await Registry.open(new FolderStore(artifacts), new ModelFileCache(preparedFolder));
  const pool = new WorkerPool({ registry, workerUrl: new URL('profiled-worker.js', import.meta.url), workers: 1, threads, preparedFolder });
  const prompt = new TextEncoder().encode(englishText(PROMPT_BYTES));
  // Bytes only: the text does not end before it is long enough.
  const logitBias = new Map(Array.from({ length: 256 }, (_, byte) => [byte, 40]));
  const options = { prompt, maxBytes: TEXT_BYTES, seed: 1, temperature: TEMPERATURE, topP: 1, topK: 0, stop: [], logitBias, cacheSalt: '', deadlineAtMs: Infinity };
  for await (const _ of pool.generate({ tier, worker: 0 }, options, new AbortController().signal)) continue;
  await pool.close();
  return JSON.parse(await readFile(report, 'utf8')) as WorkerProfile;
}

/** Those that were sent between two runs that decode. */
function messagesUs({ runs, messages }: WorkerProfile): number {
  const decodes = runs.filter((run) => run.decodes);
  const [from, to] = [decodes[0]!.beginMs, decodes.at(-1)!.beginMs];
  const sent = messages.filter(({ beginMs }) => beginMs > from && beginMs < to);
  return (1_000 * sent.reduce((sum, { beginMs, endMs }) => sum + endMs - beginMs, 0)) / decodes.length;
}

function samplingUs(turns: number): number {
  const noise = new PatchNoise({ temperature: TEMPERATURE, logitBias: new Map() }, new SeededRandom(1));
  const spent = Math.min(PATCH_CAP, Math.round(turns));
  const beginMs = performance.now();
  for (let repeat = 0; repeat < NOISE_REPEATS; repeat += 1) noise.prepare([], spent);
  return (1_000 * (performance.now() - beginMs)) / NOISE_REPEATS;
}

/** Of the runs that decode; a loop's own time is that of the nodes in it. */
function byOperator({ runs }: WorkerProfile, events: readonly ProfilerEvent[]): ProfileMeasurement['nodes'] {
  const decodes = events.filter(({ name }) => name === 'model_run').filter((_, index) => runs[index]?.decodes);
  const totals = new Map<string, { calls: number; us: number }>();
  for (const { cat, ts, dur, args } of events) {
    const operator = args.op_name;
    if (cat !== 'Node' || operator === undefined || operator === 'Loop' || operator === 'If') continue;
    if (!decodes.some((run) => run.ts <= ts && ts < run.ts + run.dur)) continue;
    const { calls, us } = totals.get(operator) ?? { calls: 0, us: 0 };
    totals.set(operator, { calls: calls + 1, us: us + dur });
  }
  const allUs = [...totals.values()].reduce((sum, { us }) => sum + us, 0);
  return [...totals]
    .map(([operator, { calls, us }]) => ({ operator, calls: calls / decodes.length, share: us / allUs }))
    .toSorted((a, b) => b.share - a.share);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

await answer(measure);
