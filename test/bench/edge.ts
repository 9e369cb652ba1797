/** `bench edge`: the Worker as it is deployed, in workerd, without an origin. The seed of `entries/edge.ts` comes from here. */
import { mkdtemp, rm } from 'node:fs/promises';
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
    const first = await write(edge, 'Once upon a time', 16);
    await sleep(SETTLING_MS);
    const reports: Completion['stlm'][] = [];
    for (let text = 0; text < repeats; text += 1) reports.push(await write(edge, `Once upon a time, ${text} `, bytes));
    const long: Completion['stlm'][] = [];
    for (let text = 0; text < repeats; text += 1) long.push(await write(edge, `${text} ${LONG_PROMPT}`, 16));
    const { heap, runtime } = await isolateBytes(edge);
    const of = (all: readonly Completion['stlm'][], figure: (report: Completion['stlm']) => number) => median(all.map(figure));
    const uploaded = bundle.reduce((sum, { contents }) => sum + gzipSync(contents).length, 0);
    console.log(`${describeMachine().cpu}, ${(await edgeModel()).path}; medians of ${repeats}`);
    console.log(`uploaded, gzip: ${(uploaded / 1e6).toFixed(2)} MB`);
    console.log(`opening the model: ${first.load_ms} ms`);
    console.log(`a text of ${bytes} bytes: ${of(reports, (report) => report.bytes_per_second)} bytes/s, first byte after ${of(reports, (report) => report.time_to_first_byte_ms)} ms`);
    console.log(`a patch: ${of(reports, (report) => report.decode_ms / (report.decoded_patches - 1)).toFixed(2)} ms to write, ${of(long, (report) => report.prefill_ms / report.prompt_patches).toFixed(2)} to read`);
    console.log(`memory, MiB: V8 ${(heap / 2 ** 20).toFixed(0)}, ONNX Runtime ${(runtime / 2 ** 20).toFixed(0)}`);
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
