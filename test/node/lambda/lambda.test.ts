/** The Lambda handlers in a process of their own, with real models and with events as AWS sends them. */
import { rm, writeFile, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sha256Hex } from '../../../functions/access/keys.js';
import type { Completion } from '../../../functions/schema/completion.js';
import type { RouteAnswer } from '../../../functions/schema/route.js';
import { functionUrl, httpApi, loadBalancer, type Posted, restApi } from './events.js';
import { FunctionProcess } from './function-process.js';

const completion = (fields: object = {}): Posted => ({
  path: '/v1/completions',
  body: JSON.stringify({ model: 'stlm-auto', prompt: 'Ein süßes Tier', max_tokens: 12, seed: 1, latency_budget_ms: 20_000, ...fields }),
});

let environment: FunctionProcess;
beforeAll(async () => {
  environment = await FunctionProcess.start();
});
afterAll(() => environment.stop());

describe('a whole answer', () => {
  test.each([
    ['a REST API', restApi],
    ['an HTTP API', httpApi],
    ['a function URL', functionUrl],
    ['a load balancer', loadBalancer],
  ])('to %s is the same text, whether its body came plain or in base64', async (_door, event) => {
    const [plain, base64] = [await environment.whole(event(completion())), await environment.whole(event({ ...completion(), base64: true }))];
    const texts = [plain, base64].map(({ statusCode, isBase64Encoded, body }) => {
      expect({ statusCode, isBase64Encoded }).toEqual({ statusCode: 200, isBase64Encoded: false });
      return (JSON.parse(body) as Completion).choices[0]!.text;
    });
    expect(texts[0]).not.toBe('');
    expect(texts[1]).toBe(texts[0]);
    // A multi-byte prompt that was decoded wrongly would have another length.
    expect((JSON.parse(plain.body) as Completion).usage.prompt_tokens).toBe(16);
  });

  test('of a stream is its events as text, for doors that cannot stream', async () => {
    const { body, headers, isBase64Encoded } = await environment.whole(httpApi(completion({ stream: true })));
    expect(isBase64Encoded).toBe(false);
    expect(headers!['content-type']).toBe('text/event-stream');
    expect(body).toMatch(/^data: .*data: \[DONE\]\n\n$/s);
  });

  test('names the field of a request that means nothing', async () => {
    const { statusCode, body } = await environment.whole(restApi(completion({ max_tokens: 'many' })));
    expect(statusCode).toBe(400);
    expect(JSON.parse(body)).toMatchObject({ error: { param: 'max_tokens' } });
  });
});

describe('the time limit of the function', () => {
  test('bounds a longer budget, and says so', async () => {
    const { body } = await environment.whole(functionUrl(completion()), 5_000);
    const { budget_ms, budget_source } = (JSON.parse(body) as Completion).stlm;
    expect(budget_source).toBe('platform');
    expect(budget_ms).toBeGreaterThan(4_000);
    expect(budget_ms).toBeLessThan(4_901);
  });

  test('leaves a shorter budget alone', async () => {
    const { body } = await environment.whole(functionUrl(completion({ latency_budget_ms: 3_000 })), 5_000);
    expect((JSON.parse(body) as Completion).stlm).toMatchObject({ budget_ms: 3_000, budget_source: 'latency_budget_ms' });
  });

  test('that is all but over refuses, instead of being cut off', async () => {
    const { statusCode } = await environment.whole(functionUrl(completion()), 50);
    expect(statusCode).toBe(422);
  });
});

test('a stream comes piece by piece, behind its status and headers', async () => {
  const pieces: string[] = [];
  for await (const piece of environment.streaming(functionUrl(completion({ max_tokens: 400, stream: true })))) pieces.push(piece);
  const [prelude, body] = pieces.join('').split('\0'.repeat(8));
  expect(JSON.parse(prelude!)).toMatchObject({ statusCode: 200, headers: { 'content-type': 'text/event-stream' } });
  expect(pieces.length).toBeGreaterThan(10);
  expect(body).toMatch(/^data: .*data: \[DONE\]\n\n$/s);
});

describe('a tier that was loaded before a freeze', () => {
  let frozen: FunctionProcess;
  afterEach(() => frozen.stop());
  const largest = async <T>(path: string) => JSON.parse((await frozen.whole(functionUrl({ ...completion({ model: 'stlm-large' }), path }))).body) as T;
  const loadState = async () => (await largest<Completion>('/v1/completions')).stlm.load_state;
  const freeze = async (settings: Record<string, string>) => {
    frozen = await FunctionProcess.start(settings);
    expect(await loadState()).toBe('cold');
    frozen.process.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    frozen.process.kill('SIGCONT');
  };

  test('is still warm', async () => {
    await freeze({});
    // A timer that was due in the freeze has its turn before the next event.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await loadState()).toBe('warm');
  });

  test('would be cold with an idle time as on a server, which runs out', async () => {
    await freeze({ STLM_IDLE_UNLOAD_S: '1' });
    // To ask for a forecast is no use of the tier; to measure it after its load is.
    await expect.poll(async () => (await largest<RouteAnswer>('/v1/route')).tiers[0]!.load_ms).toBeGreaterThan(0);
    expect(await loadState()).toBe('cold');
  });
});

describe('who may ask', () => {
  test('is settled before anything is served: neither keys nor STLM_OPEN is no function', async () => {
    await expect(FunctionProcess.start({ STLM_OPEN: '' })).rejects.toThrow(/STLM_KEYS/);
  });

  test('is whoever has a key', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stlm-keys-'));
    const file = join(folder, 'keys.json');
    await writeFile(file, JSON.stringify({ keys: [{ name: 'web', sha256: await sha256Hex('secret') }] }));
    const guarded = await FunctionProcess.start({ STLM_OPEN: '', STLM_KEYS: file });
    expect((await guarded.whole(httpApi(completion()))).statusCode).toBe(401);
    expect((await guarded.whole(httpApi({ ...completion(), headers: { authorization: 'Bearer secret' } }))).statusCode).toBe(200);
    await guarded.stop();
    await rm(folder, { recursive: true });
  });
});
