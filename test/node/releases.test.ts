/** A store with releases, a server on it under load, and aliases that move. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../functions/schema/manifest.js';
import { BUCKET, type S3Server, startS3 } from '../s3-server.js';
import { type ServerProcess, startServer } from '../server-process.js';
import { stlm } from '../stlm.js';
import { tieredModels } from './engine-models.js';
import { sha256 } from './registry-artifact.js';

let s3: S3Server;
let folder: string;
let server: ServerProcess;
let first: string;
let second: string;
const store = `s3://${BUCKET}/live`;

const models = async (...args: string[]) => {
  const { code, out, err } = await stlm(['models', ...args], s3.environment);
  if (code !== 0) throw new Error(err);
  return out.trim();
};

/** The test model with another seed in its manifest: another release of the same tier. */
async function pushed(seed: number, to = store, tiers = ['stlm-small']): Promise<string> {
  const source = await tieredModels(tiers);
  if (tiers.includes('stlm-large')) await makeDistinct(join(source, 'stlm-large'));
  const path = join(source, 'stlm-small', 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as { training: object };
  await writeFile(path, JSON.stringify({ ...manifest, training: { ...manifest.training, seed } }));
  const release = await models('push', source, to);
  await rm(source, { recursive: true });
  return release;
}

/** Its file would be the smaller tier's, byte by byte, and so not be fetched: it gets a `doc_string`, field 6 of ONNX's ModelProto. */
async function makeDistinct(tier: string): Promise<void> {
  const manifest = JSON.parse(await readFile(join(tier, 'manifest.json'), 'utf8')) as Manifest;
  const [file] = manifest.files;
  const path = join(tier, file!.name);
  const model = Buffer.concat([await readFile(path), Buffer.from([(6 << 3) | 2, 1, 0x61])]);
  await writeFile(path, model);
  await writeFile(join(tier, 'manifest.json'), JSON.stringify({ ...manifest, files: [{ ...file, bytes: model.length, sha256: sha256(model) }] }));
}

beforeAll(async () => {
  [s3, folder] = await Promise.all([startS3(), mkdtemp(join(tmpdir(), 'stlm-releases-'))]);
  [first, second] = [await pushed(1), await pushed(2)];
  await models('alias', store, 'stable', first);
  server = await startServer({ ...s3.environment, STLM_ARTIFACTS: store, STLM_RELEASE_POLL_S: '0.2', STLM_CACHE: folder });
});
afterAll(async () => {
  await server.stop();
  await s3.close();
  await rm(folder, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly release: string | null;
  readonly whole: boolean;
}

async function ask(stream: boolean, fields: object = {}): Promise<Answer> {
  const body = { model: 'stlm-auto', prompt: 'Once', max_tokens: 40, stream, latency_budget_ms: 60_000, ...fields };
  const response = await fetch(`${server.url}/v1/completions`, { method: 'POST', body: JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, release: response.headers.get('x-stlm-release'), whole: stream ? text.endsWith('data: [DONE]\n\n') && text.includes('"stlm":') : text.includes('"usage"') };
}

/** Four clients, each with one request after the other, half of them streams, until `work` is done. */
async function underLoad(work: () => Promise<void>): Promise<Answer[]> {
  const answers: Answer[] = [];
  const done = new AbortController();
  const client = async (index: number) => {
    while (!done.signal.aborted) answers.push(await ask(index % 2 === 0));
  };
  const clients = Promise.all([0, 1, 2, 3].map(client));
  await work().finally(() => done.abort());
  await clients;
  return answers;
}

/** A release has to be fetched, loaded and proved. */
const SOON = { timeout: 90_000 };
const retired = (release: string) => () => server.output.some((line) => line.includes(release) && line.includes('release retired'));
const serving = async () => (await ask(false, { max_tokens: 2 })).release;

describe('an alias that moves under load', { timeout: 360_000 }, () => {
  test('forward and back loses no request, and the release before goes', async () => {
    const answers = await underLoad(async () => {
      const long = ask(true, { max_tokens: 4_096, regex: '[a-z]{4000}' });
      await models('alias', store, 'stable', second);
      await expect.poll(serving, SOON).toBe(second);
      // What the first one has begun it finishes.
      expect(await long).toEqual({ status: 200, release: first, whole: true });
      await expect.poll(retired(first), SOON).toBe(true);
      await models('alias', store, 'stable', first);
      await expect.poll(serving, SOON).toBe(first);
      await expect.poll(retired(second), SOON).toBe(true);
    });
    expect(answers.filter(({ status, whole }) => status !== 200 || !whole)).toEqual([]);
    expect(new Set(answers.map(({ release }) => release))).toEqual(new Set([first, second]));
  });

  test('to what is damaged keeps the release that is served, and the log says why', async () => {
    const source = await tieredModels(['stlm-small']);
    const path = join(source, 'stlm-small', 'manifest.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"golden": {', '"golden": { "note": "other",').replace('"prompt": "', '"prompt": "Zz'));
    const manifest = JSON.parse(await readFile(path, 'utf8')) as { golden: { ids: number[] } };
    manifest.golden.ids = manifest.golden.ids.map((id) => (id + 1) % 256);
    await writeFile(path, JSON.stringify(manifest));
    const release = await models('push', source, store);
    await rm(source, { recursive: true });
    await models('alias', store, 'stable', release);
    await expect.poll(() => server.output.join('\n'), SOON).toContain(`release ${release}: its smallest tier, stlm-small, cannot be served: it does not give its golden text`);
    const opened = () => server.output.filter((line) => line.includes(release) && line.includes('release opened')).length;
    const looked = s3.reads('aliases.json');
    await expect.poll(() => s3.reads('aliases.json')).toBeGreaterThan(looked + 3);
    expect(opened()).toBe(1);
    server.process.kill('SIGUSR2');
    await expect.poll(opened, SOON).toBe(2);
    expect(await serving()).toBe(first);
    await models('alias', store, 'stable', first);
  });
});

test('a canary gets its share of the requests, and then none', async () => {
  const share = 0.3;
  await models('alias', store, 'canary', second, '--share', String(share));
  await expect.poll(serving, SOON).toBe(second);
  const asked = 120;
  const releases: (string | null)[] = [];
  for (let index = 0; index < asked; index += 1) releases.push(await serving());
  const got = releases.filter((release) => release === second).length;
  expect(releases.every((release) => release === first || release === second)).toBe(true);
  // Five standard deviations of a binomial count.
  expect(Math.abs(got - share * asked)).toBeLessThan(5 * Math.sqrt(asked * share * (1 - share)));
  await models('alias', store, 'canary', 'none');
  await expect.poll(() => server.output.filter((line) => line.includes(second) && line.includes('release retired')).length, SOON).toBe(2);
  expect(await serving()).toBe(first);
});

test('/readyz, /v1/models and /metrics are those of the stable release', async () => {
  expect(await (await fetch(`${server.url}/readyz`)).json()).toMatchObject({ ready: true, tiers: [{ id: 'stlm-small', state: 'ready' }] });
  expect(await (await fetch(`${server.url}/metrics`)).text()).toMatch(/stlm_tier_state\{tier="stlm-small",state="ready"\} 1/);
});

test('a command without a server writes with the stable release', async () => {
  const { code, out, err } = await stlm(['complete', 'Once', '--max-tokens', '8', '--budget', '60s'], { ...s3.environment, STLM_ARTIFACTS: store, STLM_CACHE: folder });
  expect([code, err, out.length > 0]).toEqual([0, '', true]);
});

test('aliases are followed while larger tiers still wait to be loaded', { timeout: 180_000 }, async () => {
  const shared = await mkdtemp(join(tmpdir(), 'stlm-store-'));
  const [before, after] = [await pushed(1, shared, ['stlm-small', 'stlm-large']), await pushed(2, shared, ['stlm-small', 'stlm-large'])];
  await models('alias', shared, 'stable', before);
  // A byte a second of the first release's larger tier: it is never there, as where workers are never idle.
  const trickling = new Set<NodeJS.Timeout>();
  const http = createServer(async (request, response) => {
    if (request.url === `/releases/${before}/stlm-large/stlm-large.int4.onnx`) trickling.add(setInterval(() => response.write('0'), 1_000));
    else await readFile(join(shared, request.url!)).then((content) => response.end(content), () => response.writeHead(404).end());
  }).listen(0, '127.0.0.1');
  await once(http, 'listening');
  await server.stop();
  const address = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  server = await startServer({ STLM_ARTIFACTS: address, STLM_TIERS: 'stlm-small,stlm-large', STLM_RELEASE_POLL_S: '0.2', STLM_CACHE: join(shared, 'cache') });
  await expect.poll(() => trickling.size).toBe(1);
  await models('alias', shared, 'stable', after);
  // Not of the larger tier, for which a request would wait.
  await expect.poll(async () => (await ask(false, { model: 'stlm-small', max_tokens: 2 })).release, SOON).toBe(after);
  expect(await server.stop()).toBe(0);
  for (const drop of trickling) clearInterval(drop);
  http.closeAllConnections();
  http.close();
  await rm(shared, { recursive: true });
});

describe('asked to stop during a roll-over', { timeout: 180_000 }, () => {
  const restarted = async () => {
    await server.stop();
    await models('alias', store, 'stable', first);
    server = await startServer({ ...s3.environment, STLM_ARTIFACTS: store, STLM_RELEASE_POLL_S: '0.2', STLM_CACHE: folder });
  };

  test('a server finishes the texts of both releases, and ends', async () => {
    await restarted();
    const long = () => ask(true, { max_tokens: 4_096, regex: '[a-z]{4000}' });
    const before = long();
    await models('alias', store, 'stable', second);
    await expect.poll(serving, SOON).toBe(second);
    const after = long();
    // It has been taken in by the time that a later one is answered.
    await serving();
    const stopped = server.stop();
    expect(await Promise.all([before, after])).toEqual([first, second].map((release) => ({ status: 200, release, whole: true })));
    expect(await stopped).toBe(0);
  });

  test('a server gives up the release that is on its way up', async () => {
    await restarted();
    const long = ask(true, { max_tokens: 4_096, regex: '[a-z]{4000}' });
    await models('alias', store, 'stable', second);
    await expect.poll(() => server.output.some((line) => line.includes(second) && line.includes('release opened')), { ...SOON, interval: 5 }).toBe(true);
    const stopped = server.stop();
    expect(await long).toEqual({ status: 200, release: first, whole: true });
    expect(await stopped).toBe(0);
    expect(server.output.join('\n')).not.toContain('not followed');
  });
});
