import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256Hex } from '../../../functions/access/keys.js';
import { says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

const body = { model: 'stlm-auto', prompt: 'say', max_tokens: 16 };
let server: TestServer;
beforeAll(async () => {
  const keys = [
    { name: 'web', sha256: await sha256Hex('secret') },
    { name: 'few', sha256: await sha256Hex('few'), requests_per_minute: 2 },
    { name: 'short', sha256: await sha256Hex('short'), tokens_per_minute: 40 },
    { name: 'long', sha256: await sha256Hex('long'), tokens_per_minute: 40 },
  ];
  server = await listen(new ScriptedEngine(says(['once'])), { keys });
});
afterAll(() => server.close());

const as = (key: string | undefined, path = '/v1/completions', request: object = body) =>
  server.post(path, request, key === undefined ? {} : { headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` } });

describe('a deployment with keys', () => {
  test('answers who has one, and logs the name and never the key', async () => {
    expect((await as('secret')).status).toBe(200);
    expect(server.log).toContainEqual(expect.objectContaining({ message: 'answered', client: 'web' }));
    expect(JSON.stringify(server.log)).not.toContain('secret');
  });

  test.each([undefined, 'wrong', ''])('refuses the key %s, in the words of the OpenAI API', async (key) => {
    for (const path of ['/v1/completions', '/v1/chat/completions', '/v1/route']) {
      const answer = await as(key, path);
      expect(answer.status).toBe(401);
      expect(await answer.json()).toMatchObject({ error: { type: 'authentication_error', code: 'invalid_api_key' } });
    }
    expect((await fetch(`${server.url}/v1/models`)).status).toBe(401);
  });

  test('keeps health and its description open', async () => {
    for (const path of ['/healthz', '/readyz', '/openapi.json']) expect((await fetch(server.url + path)).status).not.toBe(401);
  });

  test('says what is left of a limit, and how long to stay away when nothing is', async () => {
    const answers = [await as('few'), await as('few'), await as('few')];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
    expect(answers.map(({ headers }) => headers.get('x-ratelimit-remaining-requests'))).toEqual(['1', '0', '0']);
    const { headers } = answers[2]!;
    expect(headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(headers.get('x-ratelimit-reset-requests')).toMatch(/^(?:[\d.]+m?s|1m0s)$/);
    expect(Number(headers.get('retry-after-ms'))).toBeGreaterThan(50_000);
    expect(await answers[2]!.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
  });

  test('gives back what a request spent that the server had no time for', async () => {
    const before = await as('short', '/v1/completions', { ...body, max_tokens: 1 });
    const infeasible = await as('short', '/v1/completions', { ...body, latency_budget_ms: 0.001 });
    expect(infeasible.status).toBe(422);
    const after = await as('short', '/v1/completions', { ...body, max_tokens: 1 });
    const left = (answer: Response) => Number(answer.headers.get('x-ratelimit-remaining-tokens'));
    expect(left(before) - left(after)).toBe(4);
  });

  test('counts the prompt and the text asked for as tokens', async () => {
    const first = await as('long');
    expect(first.headers.get('x-ratelimit-remaining-tokens')).toBe(String(40 - 3 - 16));
    expect((await as('long', '/v1/completions', { ...body, max_tokens: 30 })).status).toBe(429);
    const never = await as('long', '/v1/completions', { ...body, max_tokens: 64 });
    expect(never.status).toBe(400);
    expect(await never.json()).toMatchObject({ error: { code: 'limit_too_small', param: 'max_tokens' } });
  });
});
