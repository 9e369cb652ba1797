/** From a socket through workerd, with the Worker as it is deployed, to a server on Node with the committed artifacts. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bestRuntime, openSession } from '../../functions/engine/open-session.js';
import { monotonicMs } from '../../functions/engine/monotonic.js';
import { modelShape, readyTier } from '../../functions/engine/tier.js';
import type { Completion } from '../../functions/schema/completion.js';
import { Solo } from '../node/engine-solo.js';
import { greedy, textOf } from '../node/engine-models.js';
import { type ServerProcess, startServer } from '../server-process.js';
import { type Bundle, bundleWorker, edgeModel, isolateBytes, startWorker, type WorkerProcess } from './worker-process.js';

const PROMPT = 'Once upon a time';
/** What is measured against budgets here has seconds to spare: the machine may be busy. */
const SPARE_MS = 5_000;

let folder: string;
let bundle: Bundle;
let origin: ServerProcess;
let edge: WorkerProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stlm-edge-'));
  [bundle, origin] = await Promise.all([bundleWorker(folder), startServer({ STLM_ARTIFACTS: 'model-core/artifacts' })]);
  edge = await startWorker(bundle, { STLM_ORIGIN: origin.url, STLM_OPEN: 'true' });
  // It opens the model, and asks the origin what its tiers take.
  await complete({ model: 'stlm-10m', latency_budget_ms: 60_000 });
});
afterAll(async () => {
  await edge?.stop();
  await origin?.stop();
  await rm(folder, { recursive: true });
});

function post(body: object): Promise<Response> {
  return fetch(`${edge.url}/v1/completions`, { method: 'POST', body: JSON.stringify({ prompt: PROMPT, max_tokens: 32, latency_budget_ms: SPARE_MS, ...body }) });
}

async function complete(body: object): Promise<Completion> {
  return (await (await post(body)).json()) as Completion;
}

const curl = async (...options: string[]) => (await promisify(execFile)('curl', ['--silent', '--show-error', ...options])).stdout;

/** A raw request on a raw socket, so that leaving is leaving. */
async function leave(model: string, stream: boolean): Promise<void> {
  const { hostname, port } = new URL(edge.url);
  // A model that could end its text might have done so already.
  const bias = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [byte, 40]));
  const text = JSON.stringify({ model, stream, prompt: PROMPT, max_tokens: 4_000, latency_budget_ms: 60_000, logit_bias: bias });
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(`POST /v1/completions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
  if (stream) {
    await once(socket, 'data');
    socket.destroy();
  } else {
    // Whether what comes in one piece has begun nobody can see from here. Before the first byte workerd takes a closed socket for a client that waits.
    await sleep(1_000);
    socket.resetAndDestroy();
  }
}

const clientsLost = (lines: readonly string[]) => lines.filter((line) => /"status":499/.test(line)).length;

describe('the limits of the platform', () => {
  test('are kept by the bundle, in which is nothing of Node', async () => {
    // Not at once: a socket that workerd closes meanwhile would look open to the next request.
    const uploaded = await Promise.all(bundle.map(({ contents }) => promisify(gzip)(contents)));
    expect(uploaded.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(6e6);
    const scripts = bundle.filter(({ name }) => name.endsWith('.js')).map(({ contents }) => contents.toString());
    expect(scripts).toHaveLength(1);
    expect(scripts[0]).not.toMatch(/(?:from|require\(|import\() ?["']node:/);
  });

  test('are kept by the memory of an isolate that writes several long texts', async () => {
    const prompt = 'The old clock in the hall strikes seven. '.repeat(40);
    await Promise.all([1, 2, 3].map((chapter) => complete({ model: 'stlm-10m', prompt: `Chapter ${chapter}. ${prompt}`, latency_budget_ms: 120_000 })));
    const { heap, runtime } = await isolateBytes(edge);
    expect(runtime).toBeGreaterThan(10 * 2 ** 20);
    expect(heap + runtime).toBeLessThan(96 * 2 ** 20);
  });
});

test('the smallest tier runs at the edge, the others at the origin', async () => {
  const [here, there] = [await post({ model: 'stlm-10m' }), await post({ model: 'stlm-50m' })];
  expect([here.headers.get('x-stlm-model'), here.headers.has('x-stlm-network-ms')]).toEqual(['stlm-10m', false]);
  expect([there.headers.get('x-stlm-model'), there.headers.has('x-stlm-network-ms')]).toEqual(['stlm-50m', true]);
  expect(((await there.json()) as Completion).stlm.budget_ms).toBeLessThan(SPARE_MS);
});

test('a request that leaves the tier open gets a larger one than the edge has', async () => {
  expect((await complete({ model: 'stlm-auto' })).model).not.toBe('stlm-10m');
});

test('a greedy text is the one that Node writes from the same file', async () => {
  const { path, sha256, manifest } = await edgeModel();
  const session = await openSession({ path, sha256 }, { ...(await bestRuntime()), threads: 1 });
  const parts = await readyTier(session, { tier: manifest.id, shape: modelShape(manifest), prefixBytes: 0, pace: manifest.latencySeed }, monotonicMs);
  for (const prompt of [PROMPT, 'The capital of France is', 'def add(a, b):\n', `${'All happy families are alike. '.repeat(12)}Every unhappy`]) {
    const solo = new Solo({ ...parts, nowMs: monotonicMs }, greedy(prompt, { maxBytes: 96 }));
    const chunks: Uint8Array[] = [];
    while (solo.outcome === undefined) chunks.push(await solo.step());
    const { choices } = await complete({ model: 'stlm-10m', prompt, max_tokens: 96, temperature: 0, latency_budget_ms: 60_000 });
    expect(choices[0]?.text).toBe(Buffer.from(textOf(chunks), 'latin1').toString());
  }
  await session.release();
});

test.each(['stlm-10m', 'stlm-100m'])('curl reads a stream of %s as it comes', async (model) => {
  const wire = await curl('--no-buffer', `${edge.url}/v1/completions`, '-d', JSON.stringify({ model, prompt: PROMPT, max_tokens: 48, stream: true, latency_budget_ms: 60_000 }));
  expect(wire.match(/^data: \{/gm)?.length).toBeGreaterThan(3);
  expect(wire).toMatch(new RegExp(`"model":"${model}"`));
  expect(wire.trimEnd()).toMatch(/data: \[DONE\]$/);
});

describe.each([
  ['stlm-100m', 'the origin', () => origin.output],
  ['stlm-10m', 'the edge', () => edge.output],
] as const)('a client of %s that leaves', (model, where, log) => {
  test.each([
    ['a stream', true],
    ['a whole answer', false],
  ])(`%s ends compute at ${where}`, async (_name, stream) => {
    const before = clientsLost(log());
    await leave(model, stream);
    await expect.poll(() => clientsLost(log())).toBe(before + 1);
  });
});

describe.each([
  ['silent', 'SIGSTOP', 'origin_slow'],
  ['killed', 'SIGKILL', 'origin_down'],
] as const)('an origin that is %s', (_name, signal, reason) => {
  test('costs no answer, and no budget', async () => {
    origin.process.kill(signal);
    const { stlm, choices } = await complete({ model: 'stlm-auto' });
    expect(stlm).toMatchObject({ tier: 'stlm-10m', route_reason: reason });
    expect(stlm.actual_ms).toBeLessThan(SPARE_MS);
    expect(choices[0]?.text).not.toBe('');
    expect((await complete({ model: 'stlm-auto' })).stlm.route_reason).toBe('origin_down');
    expect((await post({ model: 'stlm-100m', latency_budget_ms: 500 })).status).toBe(503);
  });
});
