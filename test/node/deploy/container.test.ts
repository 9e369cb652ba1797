/** The images' recipes, and the folder that becomes the server's image: that it serves where nothing else is. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenPages } from '../../pages.js';
import { startServer } from '../../server-process.js';

const run = promisify(execFile);

describe.each(['deploy/container/Dockerfile', 'deploy/lambda/Dockerfile'])('%s', (path) => {
  const recipe = readFileSync(path, 'utf8');

  test('is what a builder understands', () => {
    expect(validate(recipe).map(({ message, range }) => `line ${range.start.line + 1}: ${message}`)).toEqual([]);
  });

  test('copies from the repository what is there, and what its ignore file lets through', () => {
    const allowed = readFileSync(`${path}.dockerignore`, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = DockerfileParser.parse(recipe)
      .getCOPYs()
      .filter((copy) => copy.getFlags().length === 0)
      .flatMap((copy) => copy.getArguments().slice(0, -1).map((argument) => argument.getValue()));
    expect(copied.filter((source) => !existsSync(source))).toEqual([]);
    expect(copied.toSorted()).toEqual(allowed.toSorted());
  });
});

test("the server's image runs as nobody, says whether it is ready, and gives signals to the server", () => {
  const instructions = DockerfileParser.parse(readFileSync('deploy/container/Dockerfile', 'utf8')).getInstructions();
  const last = (keyword: string) => instructions.findLast((instruction) => instruction.getKeyword() === keyword)?.getArgumentsContent() ?? '';
  expect(last('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(last('HEALTHCHECK')).toContain('/readyz');
  // The form without a shell, which would be the first process and keep SIGTERM to itself.
  expect(JSON.parse(last('ENTRYPOINT'))).toEqual(['node', 'dist/functions/entries/node.js']);
});

describe("the folder of the server's image", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'stlm-app-'));
    await run(process.execPath, ['deploy/container/assemble.mjs', folder]);
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('serves, with the direct binding, and its pages', async () => {
    const server = await startServer({ STLM_CACHE: join(folder, 'cache') }, { folder });
    const body = JSON.stringify({ model: 'stlm-auto', prompt: 'Once', max_tokens: 8, latency_budget_ms: 10_000 });
    expect((await fetch(`${server.url}/v1/completions`, { method: 'POST', body })).status).toBe(200);
    expect(await brokenPages(server.url)).toEqual([]);
    for (const path of ['/openapi.json', '/metrics']) expect({ path, status: (await fetch(server.url + path)).status }).toEqual({ path, status: 200 });
    expect(server.output.join('\n')).not.toContain('no direct binding');
    expect(await server.stop()).toBe(0);
  });

  test('sends traces where there is a collector', async () => {
    let said: (traces: string) => void;
    const traces = new Promise<string>((resolve) => (said = resolve));
    const collector = createServer(async (request, response) => {
      said(await text(request));
      response.end('{}');
    }).listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    const server = await startServer({ STLM_CACHE: join(folder, 'cache'), OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, { folder });
    await fetch(`${server.url}/v1/models`);
    expect(await server.stop()).toBe(0);
    expect(await traces).toContain('GET /v1/models');
    collector.close();
  });

  test('has the other binding and the Lambda handlers too', async () => {
    const load = `globalThis.awslambda = { streamifyResponse: (handler) => handler };
      import('onnxruntime-node')
        .then(() => import('./dist/functions/entries/lambda.js'))
        .then(({ streaming }) => { console.log(typeof streaming); process.exit(); });`;
    const env = { ...process.env, STLM_ARTIFACTS: join(process.cwd(), 'test/fixtures/models'), STLM_OPEN: 'true', LOG_LEVEL: 'warn' };
    const { stdout } = await run(process.execPath, ['-e', load], { cwd: folder, env });
    expect(stdout).toBe('function\n');
  });

  test('has native code for one processor and no compiler', async () => {
    const files = await readdir(folder, { recursive: true });
    const native = files.filter((file) => /\.(?:node|so(?:\.\d+)*|dll|dylib)$/.test(file));
    expect(native.filter((file) => !new RegExp(`linux[/_]${process.arch}`).test(file))).toEqual([]);
    expect(native).toHaveLength(3);
    expect(files.filter((file) => /typescript|\.ts$|\.map$/.test(file))).toEqual([]);
  });

  test('says what it is made of, under which licences, and has the text of each that came as one', async () => {
    const isLicence = (file: string) => /^(?:licen[cs]e|notice|copying)/i.test(file);
    const files = await readdir(join(folder, 'node_modules'), { recursive: true });
    const packages = files.filter((file) => /^(?:@[^/]+\/)?[^/@]+\/package\.json$/.test(file)).map((file) => dirname(file));
    expect(packages.length).toBeGreaterThan(20);
    for (const name of packages) {
      const licences = (await readdir(join('node_modules', name))).filter(isLicence);
      expect({ name, licences: (await readdir(join(folder, 'node_modules', name))).filter(isLicence) }).toEqual({ name, licences });
    }
    const { components } = JSON.parse(readFileSync(join(folder, 'sbom.cdx.json'), 'utf8')) as { components: { name: string; licenses: { expression: string }[] }[] };
    expect(components.map(({ name }) => name).toSorted()).toEqual(packages.toSorted());
    expect(components.filter(({ licenses }) => !licenses[0]?.expression)).toEqual([]);
  });

  test('for the other processor is refused while its packages are not installed', async () => {
    const other = process.arch === 'x64' ? 'arm64' : 'x64';
    await expect(run(process.execPath, ['deploy/container/assemble.mjs', join(folder, 'other'), other])).rejects.toThrow(`--cpu=${other}`);
  });
});
