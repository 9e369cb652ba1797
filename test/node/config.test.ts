import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeConfig, readConfig, SETTING_NAMES, unknownVariables } from '../../functions/config.js';
import { ConfigError, readConfigFile } from '../../functions/config-source.js';

describe('the configuration', () => {
  test('is complete without any variable', () => {
    expect(readConfig({})).toMatchObject({
      port: 8_080,
      host: '127.0.0.1',
      artifacts: { kind: 'folder', path: 'model-core/artifacts' },
      pool: { threads: 1, preload: 'all', idleUnloadMs: 600_000 },
      budgetDefaults: { defaultMs: 1_000 },
      policy: 'budget-first',
    });
  });

  test('takes an http address with the tiers it has', () => {
    expect(readConfig({ STLM_ARTIFACTS: 'https://models.test/a', STLM_TIERS: 'stlm-10m, stlm-50m' }).artifacts).toEqual({
      kind: 'http',
      base: new URL('https://models.test/a'),
      tiers: ['stlm-10m', 'stlm-50m'],
    });
  });

  test.each([
    ['none', []],
    ['stlm-10m, stlm-50m', ['stlm-10m', 'stlm-50m']],
  ])('takes %j as tiers to preload', (list, preload) => {
    expect(readConfig({ STLM_PRELOAD: list, STLM_MEMORY_MB: '512' }).pool).toMatchObject({ preload, memoryBytes: 512 * 2 ** 20 });
  });

  test.each([
    ['PORT', 'http'],
    ['PORT', '70000'],
    ['STLM_WORKERS', '0'],
    ['STLM_THREADS', '1.5'],
    ['STLM_MEMORY_MB', '0'],
    ['STLM_IDLE_UNLOAD_S', 'never'],
    ['STLM_PRELOAD', '../stlm-10m'],
    ['STLM_DEFAULT_BUDGET_MS', '-1'],
    ['STLM_DEFAULT_BUDGET_MS', 'Infinity'],
    ['STLM_TIERS', '../secrets'],
    ['STLM_POLICY', 'luck-first'],
    ['STLM_POLICY', 'fixed:'],
    ['STLM_CORS_ORIGINS', 'app.example'],
    ['STLM_CORS_ORIGINS', 'https://app.example/'],
    ['STLM_ALIASES', 'gpt-4o'],
    ['STLM_ALIASES', 'gpt-4o=stlm-auto=more'],
    ['STLM_WATTS_PER_CORE', '0'],
    ['LOG_LEVEL', 'loud'],
    ['STLM_OPEN', 'maybe'],
    ['STLM_DRAIN_DELAY_S', '21'],
    ['STLM_AGENT_PORT', 'http'],
    ['STLM_REDIS_URL', 'http://127.0.0.1'],
    ['STLM_REDIS_URL', 'redis://127.0.0.1'],
    ['STLM_TRUSTED_KEYS', 'not-a-key'],
    ['STLM_ARTIFACTS', 's3://models'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(ConfigError);
    expect(() => readConfig({ [name]: value })).toThrow(name);
  });

  test('does not repeat a wrong address, which may have a password', () => {
    expect(() => readConfig({ STLM_ARTIFACTS: 'https://me:hush@models.test:port/a' })).toThrow(/^STLM_ARTIFACTS: expected an http\(s\) address \(from environment\)$/);
  });

  test('takes other names of models', () => {
    expect([...readConfig({ STLM_ALIASES: 'gpt-4o-mini=stlm-auto, gpt-4o = stlm-100m@2s' }).aliases]).toEqual([['gpt-4o-mini', 'stlm-auto'], ['gpt-4o', 'stlm-100m@2s']]);
  });

  test('takes origins of pages', () => {
    expect(readConfig({ STLM_CORS_ORIGINS: 'https://app.example, http://localhost:3000' }).corsOrigins).toEqual(['https://app.example', 'http://localhost:3000']);
    expect(readConfig({ STLM_CORS_ORIGINS: '*' }).corsOrigins).toEqual(['*']);
  });

  test('counts limits in Redis only where there are keys that have some', () => {
    expect(readConfig({ STLM_REDIS_URL: 'redis://127.0.0.1', STLM_KEYS: 'keys.json' }).redisUrl).toBe('redis://127.0.0.1');
  });

  test('takes an empty variable for one that is not set', () => {
    expect(readConfig({ PORT: '', STLM_ARTIFACTS: '', STLM_KEYS: '', STLM_TIERS: '' })).toEqual(readConfig({}));
  });

  test.each(['0.0.0.0', '::', '192.168.1.7', 'stlm.example'])('listens on %s only with keys, or when told that everybody may ask', (HOST) => {
    expect(() => readConfig({ HOST })).toThrow('HOST');
    expect(readConfig({ HOST, STLM_KEYS: 'keys.json' }).keysFile).toBe('keys.json');
    expect(readConfig({ HOST, STLM_OPEN: 'true' }).host).toBe(HOST);
  });

  test.each(['localhost', '127.0.0.53', '::1'])('listens on %s without keys', (HOST) => {
    expect(readConfig({ HOST }).host).toBe(HOST);
  });
});

describe('a configuration file', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'stlm-config-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const fileOf = async (content: unknown) => {
    const path = join(folder, 'stlm.json');
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    return readConfigFile(path);
  };

  test('sets what the environment does not, in numbers, truth values and lists', async () => {
    const file = await fileOf({ PORT: 9_000, STLM_THREADS: 2, STLM_OPEN: true, STLM_PRELOAD: ['stlm-10m', 'stlm-50m'], LOG_LEVEL: 'warn' });
    const config = readConfig({ PORT: '9001', HOST: '0.0.0.0', STLM_THREADS: '' }, file);
    expect(config).toMatchObject({ port: 9_001, host: '0.0.0.0', logLevel: 'warn', pool: { threads: 2, preload: ['stlm-10m', 'stlm-50m'] } });
  });

  test.each([
    ['a wrong value', { STLM_THREADS: 0 }, /^STLM_THREADS: .*\(from \S+stlm\.json\)$/],
    ['an unknown name', { STLM_THREAD: 1 }, /^STLM_THREAD: no such setting \(from \S+stlm\.json\)$/],
    ['a name that only the environment may say', { STLM_CONFIG: 'other.json' }, /^STLM_CONFIG: no such setting/],
    ['a value that is no text', { STLM_KEYS: { name: 'web' } }, /^STLM_KEYS: expected a text.*\(from \S+stlm\.json\)$/],
    ['an empty list where none can be meant', { STLM_TIERS: [] }, /^STLM_TIERS: .*empty.*\(from \S+stlm\.json\)$/],
    ['no object', '[]', /stlm\.json is not an object/],
    ['no JSON', '{"PORT": 80', /stlm\.json is not valid JSON/],
  ])('with %s is refused by name and place', async (_, content, message) => {
    const read = async () => readConfig({}, await fileOf(content));
    await expect(read()).rejects.toThrow(ConfigError);
    await expect(read()).rejects.toThrow(message);
  });

  test('with an empty list of tiers to preload preloads none', async () => {
    expect(readConfig({}, await fileOf({ STLM_PRELOAD: [] })).pool.preload).toEqual([]);
  });

  test('blames the environment for its own mistakes', async () => {
    const file = await fileOf({ PORT: 80 });
    expect(() => readConfig({ PORT: 'http' }, file)).toThrow(/^PORT: .*\(from environment\)$/);
  });

  test('must be there if it is named, and need not otherwise', () => {
    expect(() => readConfigFile(join(folder, 'none.json'))).toThrow(/none\.json cannot be read \(ENOENT\)/);
    expect(readConfigFile(undefined)).toBeUndefined();
  });
});

describe('the printed configuration', () => {
  const file = { path: 'stlm.json', settings: { STLM_POLICY: 'cost-first', PORT: '1' } };
  const printed = describeConfig({ PORT: '2', STLM_ARTIFACTS: 'https://me:hush@models.test/a?token=hush#hush' }, file);

  test.each([
    ['PORT', '2', 'environment'],
    ['STLM_POLICY', 'cost-first', 'stlm.json'],
    ['STLM_TIERS', 'stlm-10m,stlm-50m,stlm-100m', 'default'],
    ['STLM_KEYS', '', 'default'],
    ['STLM_ALIASES', '', 'default'],
  ])('has %s=%s from %s', (name, value, source) => {
    expect(printed.split('\n').map((line) => line.split(/ +# /))).toContainEqual([`${name}=${value}`, source]);
  });

  test('has every setting once', () => {
    expect(printed.trim().split('\n').map((line) => line.slice(0, line.indexOf('=')))).toEqual(SETTING_NAMES);
  });

  test('has no secret key', () => {
    expect(describeConfig({ AWS_SECRET_ACCESS_KEY: 'hush', AWS_SESSION_TOKEN: 'hush' })).not.toContain('hush');
  });

  test('has no secret of an address', () => {
    expect(printed).toContain('STLM_ARTIFACTS=https://***@models.test/a?***#***');
    expect(printed).not.toContain('hush');
  });
});

test('a variable that looks like a setting and is none is noticed', () => {
  expect(unknownVariables({ STLM_WORKER: '2', STLM_WORKERS: '2', STLM_URL: 'http://127.0.0.1:8080', STLM_PORT: 'tcp://10.0.0.1:80', STLM_SERVICE_HOST: '10.0.0.1', PATH: '/bin' })).toEqual(['STLM_WORKER']);
});

describe('the READMEs', () => {
  const settingsIn = (path: string) => /^## Settings\n([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(readFileSync(path, 'utf8'))![1]!;

  test("have a table of every setting, and of no other, in the server's", () => {
    const named = [...settingsIn('functions/README.md').matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell]) => [...cell!.matchAll(/`(\w+)`/g)].map(([, name]) => name));
    expect(named.toSorted()).toEqual(SETTING_NAMES.toSorted());
  });

  test('name only what there is where they are short', () => {
    const named = [...settingsIn('README.md').matchAll(/`([A-Z_]+)`/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(4);
    expect(SETTING_NAMES).toEqual(expect.arrayContaining(named));
  });
});
