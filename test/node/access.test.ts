import { describe, expect, test } from 'vitest';
import { ANONYMOUS, KeyFileError, KeyRing, parseKeys, sha256Hex } from '../../functions/access/keys.js';
import { Limits } from '../../functions/access/limits.js';

const HEX = 'a'.repeat(64);

describe('a key ring', () => {
  test('knows its keys, and nothing like them', async () => {
    const ring = new KeyRing([{ name: 'web', sha256: await sha256Hex('secret') }, { name: 'app', sha256: await sha256Hex('other') }]);
    expect(await ring.identify('secret')).toEqual({ name: 'web' });
    expect(await ring.identify('other')).toEqual({ name: 'app' });
    for (const key of [undefined, '', 'Secret', 'secret ', HEX]) expect(await ring.identify(key)).toBeUndefined();
  });

  test('without keys is open to everyone', async () => {
    expect(await new KeyRing([]).identify(undefined)).toBe(ANONYMOUS);
  });
});

describe('a key file', () => {
  test('lists names, hashes and limits', () => {
    const key = { name: 'web', sha256: HEX, requests_per_minute: 60 };
    expect(parseKeys(JSON.stringify({ keys: [key] }))).toEqual([key]);
  });

  test.each([
    ['keys', '{}'],
    ['keys', '{"keys":[]}'],
    ['keys.0.name', `{"keys":[{"name":"a b","sha256":"${HEX}"}]}`],
    ['keys.0.sha256', '{"keys":[{"name":"a","sha256":"the key itself"}]}'],
    ['keys.0.requests_per_minute', `{"keys":[{"name":"a","sha256":"${HEX}","requests_per_minute":0}]}`],
    ['keys.0', `{"keys":[{"name":"a","sha256":"${HEX}","limit":1}]}`],
    ['keys', `{"keys":[{"name":"a","sha256":"${HEX}"},{"name":"a","sha256":"${'b'.repeat(64)}"}]}`],
    ['not valid JSON', 'keys'],
  ])('is refused by the name of what is wrong: %s in %s', (field, json) => {
    expect(() => parseKeys(json)).toThrow(KeyFileError);
    expect(() => parseKeys(json)).toThrow(field);
  });
});

describe('a limit', () => {
  const web = { name: 'web' };
  const keys = [{ name: 'web', sha256: HEX, requests_per_minute: 2, tokens_per_minute: 100 }, { name: 'app', sha256: 'b'.repeat(64), requests_per_minute: 1 }];

  test('grants what is left of the minute, each client its own', async () => {
    const limits = new Limits(keys);
    expect(await limits.take('requests', web, 1)).toMatchObject({ granted: true, limit: 2, remaining: 1 });
    expect(await limits.take('requests', web, 1)).toMatchObject({ granted: true, remaining: 0 });
    expect(await limits.take('requests', web, 1)).toMatchObject({ granted: false, remaining: 0 });
    expect(await limits.take('requests', { name: 'app' }, 1)).toMatchObject({ granted: true });
  });

  test('takes all or nothing: what was too much leaves the rest to smaller requests', async () => {
    const limits = new Limits(keys);
    await limits.take('tokens', web, 60);
    const refused = await limits.take('tokens', web, 50);
    expect(refused).toMatchObject({ granted: false, remaining: 40 });
    expect(refused!.resetMs).toBeGreaterThan(50_000);
    expect(await limits.take('tokens', web, 40)).toMatchObject({ granted: true, remaining: 0 });
  });

  test('grants no more when many ask at once', async () => {
    const limits = new Limits(keys);
    const answers = await Promise.all(Array.from({ length: 20 }, () => limits.take('tokens', web, 10)));
    expect(answers.filter((answer) => answer!.granted)).toHaveLength(10);
  });

  test('takes nothing from those who are refused at the same time as others are granted', async () => {
    const limits = new Limits(keys);
    const both = await Promise.all([limits.take('tokens', web, 60), limits.take('tokens', web, 60)]);
    expect(both.map((one) => one!.granted).toSorted()).toEqual([false, true]);
    expect(await limits.take('tokens', web, 40)).toMatchObject({ granted: true, remaining: 0 });
  });

  test('is there again when it was taken for nothing', async () => {
    const limits = new Limits(keys);
    await limits.take('tokens', web, 90);
    await limits.giveBack('tokens', web, 90);
    expect(await limits.take('tokens', web, 100)).toMatchObject({ granted: true, remaining: 0 });
    await limits.giveBack('tokens', { name: 'app' }, 90);
  });

  test('is none where the key has none', async () => {
    expect(await new Limits(keys).take('tokens', { name: 'app' }, 1e9)).toBeUndefined();
  });
});
