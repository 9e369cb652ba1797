import { mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ArtifactCorruptError, ArtifactUnavailableError } from '../../functions/registry/errors.js';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { HttpStore } from '../../functions/registry/http-store.js';
import { Registry } from '../../functions/registry/registry.js';
import type { Manifest } from '../../functions/schema/manifest.js';
import { manifestOf, sha256, writeArtifact } from './registry-artifact.js';

const model = new Uint8Array(300_000).map((_, index) => (index * 7919) >> 5);

let folder: string;
let cacheFolder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stlm-registry-'));
  cacheFolder = join(folder, 'cache');
});
afterEach(() => rm(folder, { recursive: true }));

const openFolder = () => Registry.open(new FolderStore(folder), new ModelFileCache(cacheFolder));

describe('a folder of artifacts', () => {
  test('is listed by size, and its files are used where they lie', async () => {
    await writeArtifact(folder, 'stlm-100m', model, undefined, 100);
    await writeArtifact(folder, 'stlm-10m', model, undefined, 10);
    const registry = await openFolder();
    expect(registry.manifests.map(({ id }) => id)).toEqual(['stlm-10m', 'stlm-100m']);
    const local = await registry.model('stlm-10m');
    expect(local.path).toBe(join(folder, 'stlm-10m', 'stlm-10m.int4.onnx'));
    expect(registry.quarantine.size).toBe(0);
  });

  test('is not opened without a tier whose manifest could not be read just now', async () => {
    const store = new FolderStore(folder);
    await writeArtifact(folder, 'stlm-10m', model);
    const away = {
      tiers: () => store.tiers(),
      file: (tier: string, name: string) => store.file(tier, name),
      text: () => Promise.reject(new ArtifactUnavailableError('no answer')),
    };
    await expect(Registry.open(away, new ModelFileCache(cacheFolder))).rejects.toThrow('no answer');
  });

  test('ignores what is not named as a tier', async () => {
    await writeArtifact(folder, 'stlm-10m', model);
    await mkdir(join(folder, 'drafts'));
    await writeFile(join(folder, 'README.md'), '');
    const registry = await openFolder();
    expect(registry.manifests).toHaveLength(1);
    expect(registry.quarantine.size).toBe(0);
  });

  test('gives the template of a tier that was tuned to chat, and quarantines one whose template is none', async () => {
    const chat = { roles: { system: 263, user: 264, assistant: 265 }, endOfTurn: 266 };
    await writeArtifact(folder, 'stlm-10m', model);
    await writeArtifact(folder, 'stlm-50m', model, (manifest) => ({ ...manifest, chat }));
    await writeArtifact(folder, 'stlm-100m', model, (manifest) => ({ ...manifest, chat: { ...chat, endOfTurn: 10 } }));
    const registry = await openFolder();
    expect(registry.manifests.map(({ id, chat: template }) => [id, template])).toEqual([['stlm-10m', undefined], ['stlm-50m', chat]]);
    expect(registry.quarantine.get('stlm-100m')).toMatch(/chat\.endOfTurn/);
  });

  test('reads the figures of tasks where a manifest has them, and refuses one without its interval', async () => {
    const figure = { task: 'blimp', metric: 'accuracy', value: 0.6, low: 0.59, high: 0.61, items: 67_000, chance: 0.5 };
    const withTasks = (tasks: unknown[]) => (manifest: Manifest) => ({ ...manifest, evaluation: { ...manifest.evaluation, tasks } });
    await writeArtifact(folder, 'stlm-10m', model, withTasks([figure]));
    await writeArtifact(folder, 'stlm-50m', model, withTasks([{ ...figure, low: undefined }]));
    const registry = await openFolder();
    expect(registry.manifests[0]?.evaluation?.tasks).toEqual([figure]);
    expect(registry.quarantine.get('stlm-50m')).toMatch(/tasks\.0\.low/);
  });

  test.each([
    ['a file name that is a path', { name: '../../etc/passwd.onnx' }, /files\.0\.name: .*bare name/],
    ['an absolute file name', { name: '/tmp/model.onnx' }, /files\.0\.name: .*bare name/],
    ['a file name that is no model', { name: 'model.so' }, /files\.0\.name: .*bare name/],
    ['a sha256 that is none', { sha256: 'abc' }, /sha256/],
  ])('quarantines a tier with %s and serves the others', async (_, wrong, reason) => {
    await writeArtifact(folder, 'stlm-10m', model);
    await writeArtifact(folder, 'stlm-50m', model, (manifest) => ({ ...manifest, files: [{ ...manifest.files[0], ...wrong }] }));
    const registry = await openFolder();
    expect(registry.quarantine.get('stlm-50m')).toMatch(reason);
    await expect(registry.model('stlm-50m')).rejects.toThrow(ArtifactCorruptError);
    await expect(registry.model('stlm-10m')).resolves.toBeDefined();
  });

  test.each([
    ['is not JSON', '{"id":', /no valid JSON/],
    ['lacks fields', '{}', /schemaVersion/],
  ])('quarantines a tier whose manifest %s', async (_, json, reason) => {
    await writeArtifact(folder, 'stlm-10m', model);
    await writeFile(join(folder, 'stlm-10m', 'manifest.json'), json);
    expect((await openFolder()).quarantine.get('stlm-10m')).toMatch(reason);
  });

  test("quarantines a tier that carries another tier's manifest", async () => {
    await writeArtifact(folder, 'stlm-10m', model, (manifest) => ({ ...manifest, id: 'stlm-50m' }));
    expect((await openFolder()).quarantine.get('stlm-10m')).toMatch('it is of stlm-50m');
  });

  test('quarantines a tier trained with another patch rule', async () => {
    await writeArtifact(folder, 'stlm-10m', model, (manifest) => ({ ...manifest, patch: { ...manifest.patch, ruleHash: '0'.repeat(64) } }));
    expect((await openFolder()).quarantine.get('stlm-10m')).toMatch('patch rule');
  });

  test.each([
    ['truncated', (path: string) => truncate(path, 1000), /truncated, 1000 of 300000 bytes/],
    ['too long', (path: string) => writeFile(path, new Uint8Array(400_000)), /more than the 300000 bytes/],
    ['altered', (path: string) => writeFile(path, model.with(5, 255)), /its sha256 is/],
    ['missing', (path: string) => rm(path), /cannot be read \(ENOENT\)/],
  ])('quarantines a tier whose file is %s', async (_, damage, reason) => {
    await writeArtifact(folder, 'stlm-10m', model);
    await damage(join(folder, 'stlm-10m', 'stlm-10m.int4.onnx'));
    const registry = await openFolder();
    await expect(registry.model('stlm-10m')).rejects.toThrow(reason);
    await expect(registry.model('stlm-10m')).rejects.toThrow(ArtifactCorruptError);
    expect(registry.quarantine.get('stlm-10m')).toMatch(reason);
  });

  test('shows a corrupt file before anything wants it, and leaves the others alone', async () => {
    await writeArtifact(folder, 'stlm-10m', model);
    await writeArtifact(folder, 'stlm-50m', model);
    await truncate(join(folder, 'stlm-50m', 'stlm-50m.int4.onnx'), 1000);
    const registry = await openFolder();
    await registry.verifyLocal();
    expect([...registry.quarantine]).toEqual([['stlm-50m', expect.stringContaining('truncated')]]);
    await expect(registry.model('stlm-10m')).resolves.toMatchObject({ sha256: sha256(model) });
  });

  test('knows no tier it did not list', async () => {
    await expect((await openFolder()).model('../stlm-10m')).rejects.toThrow(ArtifactCorruptError);
  });
});

describe('artifacts over HTTP', () => {
  let server: Server;
  let requests: string[];
  let answerModel: RequestListener;

  beforeEach(async () => {
    requests = [];
    answerModel = (_, response) => response.end(model);
    const manifest = JSON.stringify(await manifestOf('stlm-10m', model));
    server = createServer((request, response) => {
      requests.push(request.url ?? '');
      if (request.url === '/models/stlm-10m/manifest.json') response.end(manifest);
      else if (request.url === '/models/stlm-10m/stlm-10m.int4.onnx') answerModel(request, response);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const openHttp = (tiers = ['stlm-10m']) => {
    const base = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/models`);
    return Registry.open(new HttpStore(base, tiers), new ModelFileCache(cacheFolder));
  };

  test('are fetched once for any number of loads, and kept for the next start', async () => {
    const registry = await openHttp();
    const models = await Promise.all(Array.from({ length: 8 }, () => registry.model('stlm-10m')));
    expect(new Set(models.map(({ path }) => path)).size).toBe(1);
    expect(sha256(await readFile(models[0]!.path))).toBe(sha256(model));
    await (await openHttp()).model('stlm-10m');
    expect(requests.filter((url) => url.endsWith('.onnx'))).toHaveLength(1);
    expect(await readdir(cacheFolder)).toEqual([`${sha256(model)}.onnx`]);
  });

  test('are not fetched in order to verify them', async () => {
    const registry = await openHttp();
    await registry.verifyLocal();
    expect(requests.filter((url) => url.endsWith('.onnx'))).toEqual([]);
  });

  test('one cache shared by registries fetches once', async () => {
    const cache = new ModelFileCache(cacheFolder);
    const file = (await manifestOf('stlm-10m', model)).files[0]!;
    let downloads = 0;
    const download = async function* () {
      downloads += 1;
      yield model;
    };
    await Promise.all([cache.obtain(file, download), cache.obtain(file, download)]);
    expect(downloads).toBe(1);
  });

  test('a copy damaged on disk is found at the next start and fetched again', async () => {
    const { path } = await (await openHttp()).model('stlm-10m');
    await truncate(path, 1234);
    await (await openHttp()).model('stlm-10m');
    expect(requests.filter((url) => url.endsWith('.onnx'))).toHaveLength(2);
    expect(sha256(await readFile(path))).toBe(sha256(model));
  });

  test('a body that breaks off leaves nothing behind, and the next load succeeds', async () => {
    answerModel = (_, response) => {
      response.writeHead(200, { 'content-length': model.length });
      response.write(model.subarray(0, 100_000), () => response.destroy());
    };
    const registry = await openHttp();
    await expect(registry.model('stlm-10m')).rejects.toThrow(ArtifactUnavailableError);
    expect(await readdir(cacheFolder)).toEqual([]);
    expect(registry.quarantine.size).toBe(0);
    answerModel = (_, response) => response.end(model);
    await expect(registry.model('stlm-10m')).resolves.toBeDefined();
  });

  test.each([
    ['shorter', model.subarray(0, 100_000), /truncated/],
    ['longer', new Uint8Array(400_000), /more than/],
    ['other', model.with(9, 254), /sha256/],
  ])('a file %s than the manifest promises quarantines the tier and is not kept', async (_, body, reason) => {
    answerModel = (_, response) => response.end(body);
    const registry = await openHttp();
    await expect(registry.model('stlm-10m')).rejects.toThrow(reason);
    expect(registry.quarantine.get('stlm-10m')).toMatch(reason);
    expect(await readdir(cacheFolder)).toEqual([]);
  });

  test('what a killed download left is removed, but not what may still be written', async () => {
    const registry = await openHttp();
    await mkdir(cacheFolder);
    for (const name of ['old.part', 'young.part', 'old.onnx']) await writeFile(join(cacheFolder, name), 'x');
    const past = new Date(Date.now() - 2 * 60 * 60 * 1000);
    for (const name of ['old.part', 'old.onnx']) await utimes(join(cacheFolder, name), past, past);
    await registry.model('stlm-10m');
    expect((await readdir(cacheFolder)).toSorted()).toEqual([`${sha256(model)}.onnx`, 'old.onnx', 'young.part'].toSorted());
  });

  test('a tier the store does not have is quarantined, the others are served', async () => {
    const registry = await openHttp(['stlm-10m', 'stlm-50m']);
    expect(registry.quarantine.get('stlm-50m')).toMatch('answered 404');
    expect(registry.manifests.map(({ id }) => id)).toEqual(['stlm-10m']);
  });

  test('a tier id that is a path is never asked for', async () => {
    const registry = await openHttp(['../stlm-10m']);
    expect(registry.quarantine.get('../stlm-10m')).toMatch('a tier id looks like');
    expect(requests).toEqual([]);
  });

  test('a manifest without end is refused', async () => {
    server.removeAllListeners('request');
    server.on('request', (_, response) => {
      const flood = () => { while (response.writable && response.write(new Uint8Array(65_536))); };
      response.on('drain', flood);
      flood();
    });
    expect((await openHttp()).quarantine.get('stlm-10m')).toMatch('longer than any manifest');
  });
});
