/** The server as a process: what it does when asked to stop, and when it cannot start. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startServer } from '../server-process.js';
import { tieredModels } from './engine-models.js';
import { readChunks } from './http/sse.js';

describe('a server asked to stop', () => {
  test('finishes what is in flight, refuses new work and ends with 0', async () => {
    const server = await startServer();
    const complete = (fields: object) =>
      fetch(`${server.url}/v1/completions`, {
        method: 'POST',
        body: JSON.stringify({ model: 'stlm-auto', prompt: 'Once', latency_budget_ms: 60_000, ...fields }),
      });
    // Four long texts at once: enough to be still at work when the signal comes.
    const stream = await complete({ prompt: ['One', 'Two', 'Three', 'Four'], max_tokens: 1_000, stream: true, seed: 1 });
    const ended = once(server.process, 'exit');
    server.process.kill('SIGTERM');
    await expect.poll(() => server.output.some((line) => line.includes('draining'))).toBe(true);

    const refused = await complete({});
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).not.toBeNull();
    await refused.text();

    const chunks = await readChunks(stream);
    expect(chunks.filter(({ choices }) => choices[0]!.finish_reason !== null)).toHaveLength(4);
    expect(chunks.at(-1)!.stlm!.stop_cause).not.toBe('cancelled');
    expect((await ended)[0]).toBe(0);
  });

  test('says that it leaves before it refuses, for as long as it was told to', async () => {
    const server = await startServer({ STLM_DRAIN_DELAY_S: '1' });
    const stopped = server.stop();
    await expect.poll(async () => (await fetch(`${server.url}/readyz`)).status, { interval: 20 }).toBe(503);
    const body = JSON.stringify({ model: 'stlm-auto', prompt: 'Once', max_tokens: 4 });
    expect((await fetch(`${server.url}/v1/completions`, { method: 'POST', body })).status).toBe(200);
    expect(await stopped).toBe(0);
  });

  test('ends with 0 when nothing is in flight', async () => {
    const server = await startServer();
    expect(await server.stop()).toBe(0);
  });
});

test('a corrupt tier shows soon after the start, unasked, the others serve, and SIGUSR2 has it checked again once it is repaired', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'stlm-artifacts-'));
  const large = join(folder, 'stlm-large');
  await cp('test/fixtures/models', folder, { recursive: true });
  await cp(join(folder, 'stlm-tiny'), large, { recursive: true });
  const manifest = JSON.parse((await readFile(join(large, 'manifest.json'), 'utf8')).replaceAll('stlm-tiny', 'stlm-large'));
  manifest.parameters.unique *= 10;
  await writeFile(join(large, 'manifest.json'), JSON.stringify(manifest));
  await rename(join(large, 'stlm-tiny.int4.onnx'), join(large, 'stlm-large.int4.onnx'));
  await truncate(join(large, 'stlm-large.int4.onnx'), 1_000);

  const server = await startServer({ STLM_ARTIFACTS: folder });
  const tiers = async () => ((await (await fetch(`${server.url}/readyz`)).json()) as { tiers: object[] }).tiers;
  const reason = expect.stringContaining('stlm-large.int4.onnx: truncated');
  await expect.poll(tiers, { timeout: 10_000 }).toMatchObject([{ state: 'ready' }, { id: 'stlm-large', state: 'quarantined', reason }]);
  await expect.poll(() => server.output.join('\n')).toContain('quarantined');

  await cp(join(folder, 'stlm-tiny', 'stlm-tiny.int4.onnx'), join(large, 'stlm-large.int4.onnx'));
  server.process.kill('SIGUSR2');
  await expect.poll(tiers).toMatchObject([{ state: 'ready' }, { id: 'stlm-large', state: 'cold' }]);
  expect(await server.stop()).toBe(0);
  await rm(folder, { recursive: true });
});

test('a server with keys warms up all the same, and serves who has one', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['dist/functions/entries/new-key.js', 'web']);
  const [key, entry] = [/stlm-\S+/.exec(stdout)![0], /\{.*\}/.exec(stdout)![0]];
  const folder = await mkdtemp(join(tmpdir(), 'stlm-keys-'));
  await writeFile(join(folder, 'keys.json'), `{"keys":[${entry}]}`);
  const server = await startServer({ STLM_KEYS: join(folder, 'keys.json') });
  const statusWith = async (headers: Record<string, string>) => (await fetch(`${server.url}/v1/models`, { headers })).status;
  expect(await statusWith({})).toBe(401);
  expect(await statusWith({ authorization: `Bearer ${key}` })).toBe(200);
  await expect.poll(() => server.output.some((line) => line.includes('"warm"'))).toBe(true);
  expect(server.output.join('\n')).not.toContain('answered otherwise');
  expect(await server.stop()).toBe(0);
  await rm(folder, { recursive: true });
});

test.each([
  ['every tier', 'all', ['ready', 'ready']],
  ['no larger tier', 'none', ['ready', 'cold']],
])('%s is warm soon after the start, unasked, when STLM_PRELOAD says %s', async (_which, preload, states) => {
  const folder = await tieredModels(['stlm-small', 'stlm-large']);
  const server = await startServer({ STLM_ARTIFACTS: folder, STLM_PRELOAD: preload, LOG_LEVEL: 'debug' });
  const tiers = async () => ((await (await fetch(`${server.url}/readyz`)).json()) as { tiers: { state: string }[] }).tiers.map(({ state }) => state);
  await expect.poll(tiers).toEqual(states);
  expect(await server.stop()).toBe(0);
  await rm(folder, { recursive: true });
});

describe('a server that cannot start', () => {
  test.each([
    [{ PORT: 'http' }, 'PORT'],
    [{ STLM_THREADS: '0' }, 'STLM_THREADS'],
    [{ STLM_MEMORY_MB: '1', STLM_ARTIFACTS: 'test/fixtures/models' }, 'STLM_MEMORY_MB'],
    [{ STLM_ARTIFACTS: 'no/such/folder' }, 'no/such/folder'],
    [{ STLM_POLICY: 'fixed:nope', STLM_ARTIFACTS: 'test/fixtures/models' }, 'STLM_POLICY: there is no usable nope'],
    [{ STLM_ALIASES: 'gpt-4o=stlm-1b', STLM_ARTIFACTS: 'test/fixtures/models' }, 'STLM_ALIASES: there is no usable stlm-1b'],
    [{ STLM_PRELOAD: 'stlm-tiny,stlm-1b', STLM_ARTIFACTS: 'test/fixtures/models' }, 'STLM_PRELOAD: there is no usable stlm-1b'],
    [{ HOST: '0.0.0.0' }, 'STLM_KEYS'],
    [{ STLM_KEYS: 'no/such/file' }, 'no/such/file'],
  ])('says why in one line and ends with 1: %j', async (environment, reason) => {
    const server = spawn(process.execPath, ['dist/functions/entries/node.js'], { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
    const [printed, [code]] = await Promise.all([text(server.stderr), once(server, 'exit')]);
    expect(code).toBe(1);
    expect(printed.trim().split('\n')).toEqual([expect.stringContaining(reason)]);
  });

  describe('is held by nothing that it had opened', () => {
    let folder: string;
    let taken: Server;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'stlm-keys-'));
      await writeFile(join(folder, 'keys.json'), JSON.stringify({ keys: [{ name: 'web', sha256: 'a'.repeat(64), requests_per_minute: 10 }] }));
      taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
    });
    afterAll(async () => {
      taken.close();
      await rm(folder, { recursive: true });
    });
    const takenPort = () => String((taken.address() as AddressInfo).port);

    test.each<[string, () => Record<string, string>]>([
      ['a port that is taken', () => ({ PORT: takenPort() })],
      ['an agent’s port that is taken', () => ({ STLM_AGENT_PORT: takenPort() })],
      ['a tier that there is not', () => ({ STLM_POLICY: 'fixed:nope' })],
      ['a store that there is not', () => ({ STLM_ARTIFACTS: 'no/such/folder' })],
      ['a decision log without a folder', () => ({ STLM_DECISION_LOG: 'no/such/folder/log' })],
    ])('for %s, however it is started', async (_what, environment) => {
      const away = { STLM_KEYS: join(folder, 'keys.json'), STLM_REDIS_URL: 'redis://127.0.0.1:9', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
      const env = { ...process.env, PORT: '0', STLM_ARTIFACTS: 'test/fixtures/models', ...away, ...environment() };
      const ends = [['node.js'], ['stlm.js', 'serve']].map(async ([entry, ...args]) => {
        const server = spawn(process.execPath, [`dist/functions/entries/${entry}`, ...args], { env, stdio: 'ignore', timeout: 20_000 });
        return ((await once(server, 'exit')) as [number | null])[0];
      });
      // Null: it had to be killed.
      expect(await Promise.all(ends)).toEqual([1, 1]);
    }, 30_000);
  });
});
