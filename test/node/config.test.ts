import { describe, expect, test } from 'vitest';
import { ConfigError, readConfig } from '../../functions/config.js';

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
    ['STLM_ALIASES', 'gpt-4o'],
    ['STLM_ALIASES', 'gpt-4o=stlm-auto=more'],
    ['STLM_WATTS_PER_CORE', '0'],
    ['LOG_LEVEL', 'loud'],
    ['STLM_OPEN', 'maybe'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(ConfigError);
    expect(() => readConfig({ [name]: value })).toThrow(name);
  });

  test('takes other names of models', () => {
    expect([...readConfig({ STLM_ALIASES: 'gpt-4o-mini=stlm-auto, gpt-4o = stlm-100m@2s' }).aliases]).toEqual([['gpt-4o-mini', 'stlm-auto'], ['gpt-4o', 'stlm-100m@2s']]);
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
