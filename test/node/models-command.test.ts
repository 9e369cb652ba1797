/** `stlm models` as a shell runs it, with folders and a real S3-compatible server. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BUCKET, type S3Server, startS3 } from '../s3-server.js';
import { startServer } from '../server-process.js';
import { startStlm, stlm } from '../stlm.js';
import { tieredModels } from './engine-models.js';
import { manifestOf, sha256, writeArtifact } from './registry-artifact.js';

const model = new Uint8Array(300_000).map((_, index) => (index * 7919) >> 5);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stlm-models-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a bucket', () => {
  let s3: S3Server;
  let source: string;
  beforeAll(async () => {
    [s3, source] = await Promise.all([startS3(), tieredModels(['stlm-small', 'stlm-large'])]);
  });
  afterAll(async () => {
    await s3.close();
    await rm(source, { recursive: true });
  });
  const store = `s3://${BUCKET}/tests`;
  const models = (args: readonly string[], more: Record<string, string> = {}) => stlm(['models', ...args], { ...s3.environment, ...more });

  test('gives back what was pushed to it, byte by byte, and a server runs on it', async () => {
    const pushed = await models(['push', source, store]);
    expect(pushed).toEqual({ code: 0, out: expect.stringMatching(/^[0-9a-f]{16}\n$/), err: '' });
    const release = pushed.out.trim();
    expect(await models(['alias', store, 'stable', release])).toEqual({ code: 0, out: `stable ${release}\n`, err: '' });
    expect((await models(['ls', store])).out.trim().split('\n').map((line) => line.split(/ {2,}/)[0])).toEqual(['stlm-small', 'stlm-large']);
    expect(await models(['verify', store])).toEqual({ code: 0, out: 'stlm-small is whole\nstlm-large is whole\n', err: '' });

    expect((await models(['pull', store, folder])).out).toBe(`stlm-small is in ${folder}\nstlm-large is in ${folder}\n`);
    for (const tier of ['stlm-small', 'stlm-large']) {
      for (const name of await readdir(join(source, tier))) expect(sha256(await readFile(join(folder, tier, name)))).toBe(sha256(await readFile(join(source, tier, name))));
    }
    expect((await models(['pull', store, folder])).out).toBe(`stlm-small was already in ${folder}\nstlm-large was already in ${folder}\n`);

    const server = await startServer({ ...s3.environment, STLM_ARTIFACTS: `${store}/releases/${release}`, STLM_CACHE: join(folder, 'cache') });
    expect(await (await fetch(`${server.url}/readyz`)).json()).toMatchObject({ ready: true, tiers: [{ id: 'stlm-small' }, { id: 'stlm-large' }] });
    expect(await server.stop()).toBe(0);
  });

  test('takes a push up where an earlier one broke off, and is the same release', async () => {
    const first = (await models(['push', source, `${store}/again`, '--tiers', 'stlm-small'])).out;
    expect((await models(['push', source, `${store}/again`, '--tiers', 'stlm-small'])).out).toBe(first);
    expect((await models(['push', source, `${store}/again`])).out).not.toBe(first);
  });

  test.each([
    ['a wrong secret', store, { AWS_SECRET_ACCESS_KEY: 'wrong' }, /answered 403/],
    ['no secret', store, { AWS_SECRET_ACCESS_KEY: '' }, /needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/],
    ['no bucket', 's3://', {}, /expected s3:\/\/bucket\/prefix/],
    ['no such bucket', 's3://nowhere/models', {}, /answered 404/],
    ['an address that can only be read', 'http://127.0.0.1:9/models', {}, /can only be read/],
  ])('with %s is refused in a line', async (_, address, environment, reason) => {
    const ran = await models(['push', source, address], environment as Record<string, string>);
    expect(ran).toEqual({ code: 1, out: '', err: expect.stringMatching(/^stlm: .*\n$/) });
    expect(ran.err).toMatch(reason);
  });
});

describe('a folder', () => {
  test('that is damaged is neither verified nor pushed', async () => {
    await writeArtifact(folder, 'stlm-10m', model);
    await truncate(join(folder, 'stlm-10m', 'stlm-10m.int4.onnx'), 1_000);
    const target = join(folder, 'target');
    for (const args of [['verify', folder], ['push', folder, target]]) {
      expect(await stlm(['models', ...args])).toEqual({ code: 1, out: '', err: 'stlm: stlm-10m.int4.onnx: truncated, 1000 of 300000 bytes\n' });
    }
    expect(await readdir(folder)).not.toContain('target');
  });

  test('is never given another version of a tier that it has', async () => {
    const [one, other, target] = ['one', 'other', 'target'].map((name) => join(folder, name)) as [string, string, string];
    await writeArtifact(one, 'stlm-10m', model);
    await writeArtifact(other, 'stlm-10m', model.with(0, 77));
    await stlm(['models', 'pull', one, target]);
    const second = await stlm(['models', 'pull', other, target]);
    expect(second).toMatchObject({ code: 1, err: expect.stringContaining('has another version of stlm-10m') });
    expect(sha256(await readFile(join(target, 'stlm-10m', 'stlm-10m.int4.onnx')))).toBe(sha256(model));
  });
});

describe('a pull', () => {
  let server: Server;
  let finish: () => void;
  beforeEach(async () => {
    const manifest = JSON.stringify(await manifestOf('stlm-10m', model));
    server = createServer((request, response) => {
      if (request.url === '/stlm-10m/manifest.json') return response.end(manifest);
      if (!request.url!.endsWith('.onnx')) return response.writeHead(404).end();
      response.write(model.subarray(0, 100_000));
      finish = () => response.end(model.subarray(100_000));
      return response;
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });
  const start = () => startStlm(['models', 'pull', `http://127.0.0.1:${(server.address() as AddressInfo).port}`, folder], { STLM_TIERS: 'stlm-10m' });
  const halfWritten = async () => {
    await expect.poll(() => readdir(folder)).toEqual([expect.stringMatching(/^\.stlm-10m\..*\.part$/)]);
  };

  test('that is killed half-way leaves no tier, and the next one brings it whole', async () => {
    const killed = start();
    await halfWritten();
    killed.kill('SIGKILL');
    await once(killed, 'close');
    expect(await stlm(['models', 'ls', folder])).toMatchObject({ code: 1, err: 'stlm: there is no tier there\n' });
    const next = start();
    await expect.poll(() => readdir(folder)).toHaveLength(2);
    finish();
    expect((await once(next, 'close'))[0]).toBe(0);
    expect(await stlm(['models', 'verify', folder])).toMatchObject({ code: 0, out: 'stlm-10m is whole\n' });
  });

  test('whose store breaks off leaves nothing, and says so', async () => {
    const broken = start();
    await halfWritten();
    server.closeAllConnections();
    expect((await once(broken, 'close'))[0]).toBe(1);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('a signature', () => {
  test('made by a trusted key is wanted wherever keys are trusted, by commands and by the server', async () => {
    const source = await tieredModels(['stlm-small', 'stlm-large']);
    const key = join(folder, 'release.pem');
    const { out } = await stlm(['models', 'keygen', key]);
    const trusting = { STLM_TRUSTED_KEYS: out.trim() };
    expect(await stlm(['models', 'verify', source], trusting)).toMatchObject({ code: 1, err: expect.stringContaining('it is not signed') });
    expect((await stlm(['models', 'sign', source, '--key', key])).out).toContain(`stlm-small is signed by ${out.trim()}`);
    expect(await stlm(['models', 'verify', source], trusting)).toMatchObject({ code: 0, out: expect.stringContaining('signed by a trusted key') });
    // It goes along.
    const copy = join(folder, 'copy');
    expect((await stlm(['models', 'pull', source, copy], trusting)).code).toBe(0);

    const changed = join(copy, 'stlm-large', 'manifest.json');
    await writeFile(changed, (await readFile(changed, 'utf8')).replace('"seed"', ' "seed"'));
    const server = await startServer({ ...trusting, STLM_ARTIFACTS: copy });
    const { tiers } = (await (await fetch(`${server.url}/readyz`)).json()) as { tiers: object[] };
    expect(tiers).toContainEqual(expect.objectContaining({ id: 'stlm-small', state: 'ready' }));
    expect(tiers).toContainEqual(expect.objectContaining({ id: 'stlm-large', state: 'quarantined', reason: 'manifest: none of the trusted keys has signed it' }));
    expect(await server.stop()).toBe(0);
    await rm(source, { recursive: true });
  });

  test('made after a tier was pulled is brought by the next pull', async () => {
    const [source, copy, key] = ['source', 'copy', 'release.pem'].map((name) => join(folder, name)) as [string, string, string];
    await writeArtifact(source, 'stlm-10m', model);
    await stlm(['models', 'pull', source, copy]);
    const trusting = { STLM_TRUSTED_KEYS: (await stlm(['models', 'keygen', key])).out.trim() };
    await stlm(['models', 'sign', source, '--key', key]);
    expect(await stlm(['models', 'pull', source, copy], trusting)).toMatchObject({ code: 0, out: `stlm-10m was already in ${copy}\n` });
    expect(await stlm(['models', 'verify', copy], trusting)).toMatchObject({ code: 0, err: '' });
  });

  test.each([
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2_048 })],
    ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ])('is not made with a key for %s', async (_, { privateKey }) => {
    await writeArtifact(folder, 'stlm-10m', model);
    const key = join(folder, 'other.pem');
    await writeFile(key, privateKey.export({ format: 'pem', type: 'pkcs8' }));
    expect(await stlm(['models', 'sign', folder, '--key', key])).toEqual({ code: 1, out: '', err: expect.stringMatching(/^stlm: the private key is for \w+, expected ed25519/) });
    expect(await readdir(join(folder, 'stlm-10m'))).not.toContain('manifest.json.sig');
  });

  test('needs a key that nobody else reads and that is not written over', async () => {
    const key = join(folder, 'release.pem');
    await stlm(['models', 'keygen', key]);
    const before = await readFile(key, 'utf8');
    expect(await stlm(['models', 'keygen', key])).toMatchObject({ code: 1, out: '' });
    expect(await readFile(key, 'utf8')).toBe(before);
  });
});

test.each([
  [['stable', '../../etc']],
  [['canary', 'fedcba9876543210']],
  [['canary', 'fedcba9876543210', '--share', '2']],
  [['latest', 'fedcba9876543210']],
])('an alias that means nothing is refused: %j', async (args) => {
  const ran = await stlm(['models', 'alias', folder, ...args]);
  expect(ran.code).toBeGreaterThan(0);
  expect(await readdir(folder)).toEqual([]);
});
