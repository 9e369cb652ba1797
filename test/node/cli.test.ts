/** The `stlm` command as a shell runs it: the built program in a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startChatServer } from '../conformance/chat-server.js';
import type { ServerProcess } from '../server-process.js';
import { startStlm, stlm as runStlm } from '../stlm.js';
import { chatModels } from './engine-models.js';

let models: string;
let cache: string;
let server: ServerProcess;
beforeAll(async () => {
  [models, cache, server] = await Promise.all([chatModels(), mkdtemp(join(tmpdir(), 'stlm-cli-')), startChatServer()]);
});
afterAll(async () => {
  await server.stop();
  for (const folder of [models, cache]) await rm(folder, { recursive: true });
});

/** Longer than any test waits for. */
const endless = ['--regex', '[a-z]{4000}', '--max-tokens', '4096', '--budget', '60s'];

const here = () => ({ STLM_ARTIFACTS: models, STLM_CACHE: cache });
const start = (args: readonly string[]) => startStlm(args, here());
const stlm = (args: readonly string[], environment: Record<string, string> = {}) => runStlm(args, { ...here(), ...environment });

describe('stlm complete', () => {
  const greedy = ['--model', 'stlm-tiny', '--temperature', '0', '--max-tokens', '24', '--budget', '60s'];

  test('writes the same text in this process as a server does, and nothing beside it', async () => {
    const local = await stlm(['complete', 'Once upon', ...greedy]);
    const remote = await stlm(['complete', 'Once upon', '--url', server.url, ...greedy]);
    expect(local).toEqual({ code: 0, out: expect.stringMatching(/^[\s\S]{1,24}$/), err: '' });
    expect(remote).toEqual(local);
  });

  test('is held by no Redis and no collector that a server would use', async () => {
    const keys = join(cache, 'keys.json');
    await writeFile(keys, JSON.stringify({ keys: [{ name: 'web', sha256: 'a'.repeat(64), requests_per_minute: 10 }] }));
    const away = { STLM_KEYS: keys, STLM_REDIS_URL: 'redis://127.0.0.1:9', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
    const child = spawn(process.execPath, ['dist/functions/entries/stlm.js', 'complete', 'Once upon', ...greedy], { env: { ...process.env, ...here(), ...away }, stdio: 'ignore', timeout: 20_000 });
    expect((await once(child, 'exit'))[0]).toBe(0);
  }, 30_000);

  test('reads its prompt from standard input, and says on standard error what it took', async () => {
    const given = await stlm(['complete', 'Once upon', ...greedy], { STLM_URL: server.url });
    const read = await stlm(['complete', '--report', ...greedy], { STLM_URL: server.url, input: 'Once upon' });
    expect(read).toEqual({ code: 0, out: given.out, err: expect.stringMatching(/^stlm-tiny \(pinned\) ended by length after [\d.]+ of 60000 ms, \d+ bytes\/s\n$/) });
  });

  test('continues bytes that are no text', async () => {
    const child = start(['complete', '--url', server.url, ...greedy]);
    child.stdin.end(Uint8Array.of(0xff, 0xfe, 0x41));
    expect((await once(child, 'close'))[0]).toBe(0);
  });

  test('ends before each stop, and draws by its seed', async () => {
    const draw = (...more: string[]) => stlm(['complete', 'Once', '--url', server.url, '--model', 'stlm-tiny', '--seed', '7', '--max-tokens', '40', '--budget', '60s', ...more]);
    const { out } = await draw();
    expect((await draw()).out).toBe(out);
    const [first, second] = [out.slice(8, 10), out.slice(20, 22)];
    expect((await draw('--stop', second, '--stop', first)).out).toBe(out.slice(0, out.indexOf(first)));
  });

  test.each(['a server', 'this process'])('is interrupted by Ctrl-C, with the exit code of that, when %s writes', async (where) => {
    const child = start(['complete', 'Once', ...(where === 'a server' ? ['--url', server.url] : []), ...endless]);
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    expect((await once(child, 'close'))[0]).toBe(130);
  });

  test('ends well when its reader has read enough', async () => {
    const child = start(['complete', 'Once', '--url', server.url, ...endless]);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    expect((await once(child, 'close'))[0]).toBe(0);
  });

  test.each([
    ['a field that the server refuses', ['--temperature', '5'], 1, /^stlm: temperature: .*\n$/],
    ['an unknown model', ['--model', 'nope'], 1, /^stlm: .*nope.*\n$/],
    ['a budget that none can meet', ['--budget', '0.001ms'], 1, /^stlm: .*budget.*\n$/],
    ['an address that is none', ['--url', 'localhost'], 1, /^stlm: --url: localhost is no http\(s\) address.*\n$/],
    ['a time that is none', ['--budget', 'soon'], 2, /expected a time such as 80ms/],
    ['an option that there is not', ['--temprature', '1'], 2, /unknown option '--temprature'\n\(Did you mean --temperature\?\)/],
  ])('says in a line what is wrong with %s', async (_, options, code, message) => {
    const ran = await stlm(['complete', 'Once', ...(options[0] === '--url' ? [] : ['--url', server.url]), ...options]);
    expect(ran).toEqual({ code, out: '', err: expect.stringMatching(message) });
    expect(ran.err).not.toMatch(/^ +at /m);
  });

  test('says that nothing answers at an address', async () => {
    const reserved = createServer().listen(0, '127.0.0.1');
    await once(reserved, 'listening');
    const { port } = reserved.address() as { port: number };
    reserved.close();
    expect(await stlm(['complete', 'Once', '--url', `http://127.0.0.1:${port}`])).toEqual({ code: 1, out: '', err: 'stlm: the server could not be reached\n' });
  });
});

describe('stlm chat', () => {
  test('answers each line of standard input, with what was said before in mind', async () => {
    const chat = (input: string, ...more: string[]) => stlm(['chat', '--url', server.url, '--temperature', '0', '--max-tokens', '16', '--regex', '[a-z]{4,8}', '--budget', '60s', ...more], { input });
    const both = await chat('Hello?\n\nAnd now?\n');
    expect(both).toEqual({ code: 0, out: expect.stringMatching(/^[a-z]{4,8}\n[a-z]{4,8}\n$/), err: '' });
    const [first] = both.out.split('\n');
    expect((await chat('Hello?')).out).toBe(`${first}\n`);
  });

  test('goes on after an answer that failed, and its exit code tells', async () => {
    const { code, out, err } = await stlm(['chat', '--url', server.url, '--model', 'nope'], { input: 'One\nTwo\n' });
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err.match(/^stlm: .*nope.*$/gm)).toHaveLength(2);
  });

  test('Ctrl-C stops an answer and leaves the chat; without an answer it ends it', async () => {
    const child = start(['chat', '--url', server.url, ...endless]);
    const ended = once(child, 'close');
    const left = () => server.output.filter((line) => line.includes('"status":499')).length;
    const before = left();
    child.stdin.write('Tell me all.\n');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    await expect.poll(left).toBe(before + 1);
    expect(child.exitCode).toBeNull();
    child.kill('SIGINT');
    expect((await ended)[0]).toBe(0);
  });

  test('in a terminal it asks, and Ctrl-C stops an answer and then ends the chat', async () => {
    const command = [process.execPath, 'dist/functions/entries/stlm.js', 'chat', '--url', server.url, ...endless].map((word) => `'${word}'`).join(' ');
    // Debian's `script` gives it a terminal.
    const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null']);
    const ended = once(child, 'close');
    let screen = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (screen += chunk));
    await expect.poll(() => screen).toContain('> ');
    child.stdin.write('Hello?\r');
    await expect.poll(() => screen).toMatch(/Hello\?\s+[a-z]{20}/);
    child.stdin.write('\u0003');
    await expect.poll(() => screen).toContain('(Ctrl-C again ends the chat)');
    child.stdin.write('\u0003');
    expect((await ended)[0]).toBe(0);
  });
});

describe('stlm serve', () => {
  test('serves until it is asked to stop, as its file says', async () => {
    const config = join(cache, 'stlm.json');
    await writeFile(config, JSON.stringify({ PORT: 0, STLM_DEFAULT_BUDGET_MS: 4_321 }));
    const child = start(['serve', '--config', config]);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    await expect.poll(() => output).toMatch(/listening on (http:\S+)/);
    const [, url] = /listening on (http:\S+)/.exec(output)!;
    const route = await fetch(`${url}/v1/route`, { method: 'POST', body: '{"model":"stlm-auto","prompt":"Once"}' });
    expect(await route.json()).toMatchObject({ budget_ms: 4_321 });
    child.kill('SIGTERM');
    expect((await once(child, 'close'))[0]).toBe(0);
  });

  test('prints its settings with their sources instead', async () => {
    const config = join(cache, 'print.json');
    await writeFile(config, JSON.stringify({ STLM_POLICY: 'cost-first' }));
    const { code, out, err } = await stlm(['serve', '--config', config, '--print-config'], { PORT: '0', STLM_WORKER: '2' });
    expect(code).toBe(0);
    expect(out).toMatch(/^PORT=0 +# environment$/m);
    expect(out).toMatch(new RegExp(`^STLM_POLICY=cost-first +# ${config}$`, 'm'));
    expect(err).toBe('stlm: there is no setting STLM_WORKER; it is ignored\n');
  });
});

describe('stlm', () => {
  test.each(['', 'serve', 'complete', 'chat', 'key'])('%s --help is answered on standard output', async (name) => {
    expect(await stlm(name === '' ? ['--help'] : [name, '--help'])).toEqual({ code: 0, out: expect.stringMatching(/^Usage: stlm/), err: '' });
  });

  test('key shows a key once, and the entry that admits it', async () => {
    expect(await stlm(['key', 'web'])).toEqual({ code: 0, out: expect.stringMatching(/: stlm-\S{32}\n.*\{"name":"web","sha256":"[0-9a-f]{64}"\}\n$/), err: '' });
    expect((await stlm(['key', 'a/b'])).code).toBe(1);
  });

  test('bench is that of the checkout', async () => {
    const { code, out } = await stlm(['bench', 'trace', '--help']);
    expect(code).toBe(0);
    expect(out).toContain('Usage: bench trace [options]');
  });
});
