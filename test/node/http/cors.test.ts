import { afterEach, describe, expect, test } from 'vitest';
import { sha256Hex } from '../../../functions/access/keys.js';
import { says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

const PAGE = 'https://app.example';
const body = { model: 'stlm-auto', prompt: 'Once' };

let server: TestServer;
afterEach(() => server.close());

const open = async (corsOrigins: readonly string[], keys: readonly { name: string; sha256: string }[] = []) => {
  server = await listen(new ScriptedEngine(says(['ok'])), { corsOrigins, keys });
};
/** What a browser asks before a request that no form could send. */
const preflight = (origin: string) =>
  fetch(`${server.url}/v1/completions`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type,x-stainless-timeout' },
  });
const ask = (origin: string, fields: object = {}) => server.post('/v1/completions', { ...body, ...fields }, { headers: { origin } });
const allowed = ({ headers }: Response) => headers.get('access-control-allow-origin');

describe('a page of an origin that is named', () => {
  test('may ask with whatever headers its client sends, and read what the answer says of itself', async () => {
    await open([PAGE]);
    const { status, headers } = await preflight(PAGE);
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe(PAGE);
    expect(headers.get('access-control-allow-headers')).toContain('x-stainless-timeout');
    expect(headers.get('access-control-allow-methods')).toContain('POST');
    for (const stream of [false, true]) {
      const answer = await ask(PAGE, { stream });
      expect(answer.status).toBe(200);
      expect(allowed(answer)).toBe(PAGE);
      for (const name of ['x-request-id', 'x-stlm-model', 'retry-after-ms']) expect(answer.headers.get('access-control-expose-headers')).toContain(name);
      expect(answer.headers.get('vary')).toBe('Origin');
      await answer.text();
    }
  });

  test('is asked for its key, and may read that and other mistakes', async () => {
    await open([PAGE], [{ name: 'web', sha256: await sha256Hex('secret') }]);
    expect((await preflight(PAGE)).status).toBe(204);
    const keyless = await ask(PAGE);
    expect([keyless.status, allowed(keyless)]).toEqual([401, PAGE]);
    const unknown = await fetch(`${server.url}/v1/nothing`, { headers: { origin: PAGE, authorization: 'Bearer secret' } });
    expect([unknown.status, allowed(unknown)]).toEqual([404, PAGE]);
  });
});

test('a page of another origin may not', async () => {
  await open([PAGE]);
  expect(allowed(await preflight('https://other.example'))).toBeNull();
  expect(allowed(await ask('https://other.example'))).toBeNull();
});

test('any page may where all are named', async () => {
  await open(['*']);
  expect(allowed(await ask('https://other.example'))).toBe('*');
});

test('no page may where none is named', async () => {
  await open([]);
  expect((await preflight(PAGE)).status).toBe(405);
  expect(allowed(await ask(PAGE))).toBeNull();
});
