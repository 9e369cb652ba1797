import { afterEach, describe, expect, test } from 'vitest';
import { TierQuarantinedError, WorkerCrashedError } from '../../../functions/engine/errors.js';
import type { Refusal, Router } from '../../../functions/router/types.js';
import { says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

let server: TestServer;
afterEach(() => server.close());

const valid = { model: 'stlm-auto', prompt: 'Once' };

async function refusing(refusal: Refusal, budgets: object = {}): Promise<Response> {
  const router: Router = {
    policy: 'budget-first',
    route: () => refusal,
    explain: () => refusal,
    progress: () => undefined,
    observe: () => undefined,
    slack: () => 1,
    warm: async () => undefined,
    widen: async () => undefined,
  };
  server = await listen(new ScriptedEngine(says(['ok'])), { router });
  return server.post('/v1/completions', { ...valid, ...budgets });
}

describe("the router's refusals", () => {
  test('an infeasible budget is a 422 that says which one would do', async () => {
    const response = await refusing({ kind: 'infeasible', cheapestMs: 12.3, tiers: [] }, { latency_budget_ms: 5 });
    expect(response.status).toBe(422);
    expect(await response.json()).toEqual({
      error: {
        message: 'no tier can answer in that budget; the cheapest feasible one is 13 ms',
        type: 'invalid_request_error',
        param: 'latency_budget_ms',
        code: 'latency_budget_infeasible',
        cheapest_feasible_ms: 13,
      },
    });
  });

  test.each([
    [{ latency_budget_ms: 100, ttft_budget_ms: 5 }, 'ttft_budget_ms'],
    [{ latency_budget_ms: 8, ttft_budget_ms: 5 }, 'latency_budget_ms'],
  ])('an infeasible budget is named: of %j it is %s', async (budgets, param) => {
    const response = await refusing({ kind: 'infeasible', cheapestMs: 12.3, tiers: [] }, budgets);
    expect(await response.json()).toMatchObject({ error: { code: 'latency_budget_infeasible', param } });
  });

  test('an overloaded server is a 429 that says when to come back, in seconds and in milliseconds', async () => {
    const response = await refusing({ kind: 'overloaded', retryAfterMs: 1_234.5, tiers: [] });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(response.headers.get('retry-after-ms')).toBe('1235');
    expect(await response.json()).toMatchObject({ error: { code: 'overloaded', type: 'rate_limit_error' } });
  });

  test('a server that is still loading is a 503 with Retry-After', async () => {
    const response = await refusing({ kind: 'loading', retryAfterMs: 400, tiers: [] });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(response.headers.get('retry-after-ms')).toBe('400');
  });

  test('no usable tier is a 503 with Retry-After', async () => {
    const response = await refusing({ kind: 'unavailable', tiers: [] });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(await response.json()).toMatchObject({ error: { code: 'tier_unavailable' } });
  });

  test('a server without any tier answers the same, and blames no suffix that was not given', async () => {
    server = await listen(new ScriptedEngine(says([]), []));
    const response = await server.post('/v1/completions', valid);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: 'tier_unavailable' } });
    expect(server.records).toMatchObject([{ event: 'decision', request: { promptBytes: 0 } }]);
  });

  test('a dry run reports a refusal instead of being refused', async () => {
    await refusing({ kind: 'infeasible', cheapestMs: 12.3, tiers: [] });
    const response = await server.post('/v1/route', { ...valid, latency_budget_ms: 1 });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ outcome: 'infeasible', tier: null, cheapest_feasible_ms: 13, budget_ms: 1 });
  });
});

describe('a budget that runs out before any text', () => {
  test.each([
    ['while its tier was still loading', 0, 503, 'loading'],
    ['in the queue', 2, 429, 'overloaded'],
  ])('%s is refused, not answered with nothing', async (_when, promptPatches, status, code) => {
    const engine = new ScriptedEngine(says([], 'deadline'));
    engine.promptPatches = promptPatches;
    server = await listen(engine);
    for (const body of [valid, { ...valid, stream: true }, { ...valid, stream: true, echo: true }, { ...valid, prompt: ['Once', 'Twice'] }]) {
      const response = await server.post('/v1/completions', body);
      expect(response.status).toBe(status);
      expect(response.headers.get('retry-after')).not.toBeNull();
      expect(await response.json()).toMatchObject({ error: { code } });
    }
  });

  test('for one of several prompts that are scored refuses all of them', async () => {
    server = await listen(
      new ScriptedEngine(async function* sayOne({ prompt }) {
        if (prompt.length === 4) yield new TextEncoder().encode('text');
        return prompt.length === 4 ? 'length' : 'deadline';
      }),
    );
    const response = await server.post('/v1/completions', { ...valid, prompt: ['Once', 'Never'], echo: true, logprobs: 0 });
    expect(response.status).toBe(429);
  });

  test.each([
    ['deadline', 0, 'loading'],
    ['cancelled', 2, 'draining'],
  ] as const)('or a server that is not there (%s) leaves no half of a score: a 503', async (cause, promptPatches, code) => {
    const engine = new ScriptedEngine(async function* scoreOne({ prompt }) {
      if (prompt.length === 4) yield new TextEncoder().encode('text');
      return prompt.length === 4 ? 'length' : cause;
    });
    engine.promptPatches = promptPatches;
    server = await listen(engine);
    const response = await server.post('/v1/completions', { ...valid, prompt: ['Once', 'Never'], echo: true, logprobs: 0 });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).not.toBeNull();
    expect(await response.json()).toMatchObject({ error: { code } });
  });

  test('for one choice of several leaves the others their text', async () => {
    server = await listen(
      new ScriptedEngine(async function* sayOne({ prompt }) {
        if (prompt.length === 4) yield new TextEncoder().encode('text');
        return 'deadline';
      }),
    );
    const response = await server.post('/v1/completions', { ...valid, prompt: ['Once', 'Never'] });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ choices: [{ text: 'text' }, { text: '' }] });
  });
});

describe('errors', () => {
  test('an unknown model is a 404 that repeats its name', async () => {
    server = await listen(new ScriptedEngine(says(['ok'])));
    for (const model of ['gpt-9', 'stlm-', '../stlm-small', 'auto']) {
      const response = await server.post('/v1/completions', { ...valid, model });
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { code: 'model_not_found', param: 'model' } });
    }
    expect((await fetch(`${server.url}/v1/models/gpt-9`)).status).toBe(404);
  });

  test('an unknown path is a 404 in the same shape', async () => {
    server = await listen(new ScriptedEngine(says(['ok'])));
    const response = await fetch(`${server.url}/v1/nothing`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: 'not_found' } });
  });

  test('are RFC 9457 problems for who accepts those', async () => {
    server = await listen(new ScriptedEngine(says(['ok'])));
    const response = await server.post('/v1/completions', { ...valid, temperature: 9 }, { headers: { accept: 'application/problem+json' } });
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({ status: 400, code: 'invalid_value', param: 'temperature', title: 'invalid value' });
  });

  test('of ours tell nothing of the inside, and are in the log', async () => {
    server = await listen(
      new ScriptedEngine(async function* fail() {
        yield* [];
        throw new Error('secret /path/of/this/machine');
      }),
    );
    for (const stream of [false, true]) {
      const response = await server.post('/v1/completions', { ...valid, stream });
      expect(response.status).toBe(500);
      expect(await response.text()).not.toContain('secret');
      expect(server.log.at(-2)).toMatchObject({ message: 'request failed', error: { message: 'secret /path/of/this/machine' } });
    }
  });

  test.each([
    [new TierQuarantinedError('stlm-small: wrong sha256'), 'tier_unavailable'],
    [new WorkerCrashedError('exit 134'), 'worker_crashed'],
  ])('of the engine that another try may mend are a 503: %s', async (failure, code) => {
    server = await listen(
      new ScriptedEngine(async function* fail() {
        yield* [];
        throw failure;
      }),
    );
    const response = await server.post('/v1/completions', valid);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).not.toBeNull();
    expect(await response.json()).toMatchObject({ error: { code } });
  });
});

test('neither prompt nor text is in the log', async () => {
  server = await listen(new ScriptedEngine(says(['confidential answer'])));
  await (await server.post('/v1/completions', { ...valid, prompt: 'confidential question', user: 'confidential person' })).text();
  await (await server.post('/v1/completions', { ...valid, prompt: 'confidential question', temperature: 'confidential' })).text();
  expect(server.log).not.toHaveLength(0);
  expect(JSON.stringify(server.log)).not.toContain('confidential');
});
