import { describe, expect, test } from 'vitest';
import { ConfigError, readConfig } from '../../functions/config.js';

describe('the configuration', () => {
  test('is complete without any variable', () => {
    expect(readConfig({})).toMatchObject({
      port: 8_080,
      host: '127.0.0.1',
      artifacts: { kind: 'folder', path: 'model-core/artifacts' },
      threads: 1,
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
    ['PORT', 'http'],
    ['PORT', '70000'],
    ['STLM_WORKERS', '0'],
    ['STLM_THREADS', '1.5'],
    ['STLM_DEFAULT_BUDGET_MS', '-1'],
    ['STLM_DEFAULT_BUDGET_MS', 'Infinity'],
    ['STLM_ARTIFACTS', ''],
    ['STLM_POLICY', 'luck-first'],
    ['STLM_POLICY', 'fixed:'],
    ['LOG_LEVEL', 'loud'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(ConfigError);
    expect(() => readConfig({ [name]: value })).toThrow(name);
  });
});
