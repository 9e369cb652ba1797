/**
 * `bench edge`: the Worker as it is deployed, in workerd, without an origin. The seed of `entries/edge-engine.ts` comes from here. Processor time is what
 * Cloudflare bills and limits, and what others' work on this machine changes least.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Completion } from '../../functions/schema/completion.js';
import { bundleWorker, edgeModel, isolateBytes, startWorker, type WorkerProcess } from '../edge/worker-process.js';
import { describeMachine } from './machine.js';
import { median } from './statistics.js';

/** Until the isolate has measured itself, and V8 has compiled what is hot. */
const SETTLING_MS = 3_000;
const LONG_PROMPT = 'The old clock in the hall strikes seven. '.repeat(50);

export async function benchEdge({ bytes, repeats }: { readonly bytes: number; readonly repeats: number }): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'stlm-bench-edge-'));
  const bundle = await bundleWorker(folder);
  const edge = await startWorker(bundle, { STLM_OPEN: 'true' });
  try {
    const first = await processorMs(() => write(edge, 'Once upon a time', 16));
    await sleep(SETTLING_MS);
    const texts = await processorMs(() => writeAll(edge, repeats, (text) => `Once upon a time, ${text} `, bytes));
    const long = await processorMs(() => writeAll(edge, repeats, (text) => `${text} ${LONG_PROMPT}`, 1));
    const { heap, runtime } = await isolateBytes(edge);
    const uploaded = bundle.reduce((sum, { contents }) => sum + gzipSync(contents).length, 0);
    const written = sum(texts.result.map((report) => report.decoded_patches));
    const read = sum(long.result.map((report) => report.prompt_patches));
    console.log(`${describeMachine().cpu}, ${(await edgeModel()).path}`);
    console.log(`uploaded, gzip: ${(uploaded / 1e6).toFixed(2)} MB`);
    console.log(`memory, MiB: V8 ${(heap / 2 ** 20).toFixed(0)}, ONNX Runtime ${(runtime / 2 ** 20).toFixed(0)}`);
    console.log(`opening the model: ${first.result.load_ms} ms; processor ${first.ms} ms, a first text included`);
    console.log(`a text of ${bytes} bytes, median of ${repeats}: ${median(texts.result.map((report) => report.bytes_per_second))} bytes/s, first byte after ${median(texts.result.map((report) => report.time_to_first_byte_ms))} ms`);
    console.log(`processor ms a patch: ${(texts.ms / written).toFixed(2)} to write, ${(long.ms / read).toFixed(2)} to read; ${Math.round((repeats * bytes * 1_000) / texts.ms)} bytes a second of it`);
  } finally {
    await edge.stop();
    await rm(folder, { recursive: true });
  }
}

async function write({ url }: WorkerProcess, prompt: string, bytes: number): Promise<Completion['stlm']> {
  // A model that could end its text might do so early.
  const bias = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, 40]));
  const body = { model: 'stlm-10m', prompt, max_tokens: bytes, temperature: 0, logit_bias: bias, latency_budget_ms: 60_000 };
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', body: JSON.stringify(body) });
  return ((await response.json()) as Completion).stlm;
}

async function writeAll(edge: WorkerProcess, repeats: number, promptOf: (text: number) => string, bytes: number): Promise<Completion['stlm'][]> {
  const reports: Completion['stlm'][] = [];
  for (let text = 0; text < repeats; text += 1) reports.push(await write(edge, promptOf(text), bytes));
  return reports;
}

/** Of workerd, which is this process's child. */
async function processorMs<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly ms: number }> {
  const before = await childrensMs();
  const result = await work();
  return { result, ms: (await childrensMs()) - before };
}

/** Linux counts in hundredths of a second: proc_pid_stat(5). */
async function childrensMs(): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')));
  // The second field is a name in brackets, and may have spaces.
  const children = stats.map((stat) => stat.slice(stat.lastIndexOf(')') + 2).split(' ')).filter(([, parent]) => Number(parent) === process.pid);
  return sum(children.map((fields) => 10 * (Number(fields[11]) + Number(fields[12]))));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
