import { afterEach, describe, expect, test } from 'vitest';
import { endless, says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

let server: TestServer;
afterEach(() => server.close());

const get = async (path: string) => {
  const response = await fetch(server.url + path);
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
};

describe('/readyz', () => {
  /** A probe never waits for a proof: the first one only sets it off. */
  const proven = async () => {
    await expect.poll(async () => JSON.stringify((await get('/readyz')).json)).not.toContain('"state":"ready","golden":"unproven"');
    return get('/readyz');
  };

  test('is ready when a warm tier reproduces its golden prompt', async () => {
    server = await listen(new ScriptedEngine(says(['gol', 'den'])));
    const { status, json } = await proven();
    expect(status).toBe(200);
    expect(json).toEqual({ ready: true, draining: false, tiers: [{ id: 'stlm-small', state: 'ready', golden: 'reproduced', golden_matched_bytes: 6, workers: [0], memory_bytes: 1_000 }] });
  });

  test.each([
    ['goldfish', 4],
    ['gold', 4],
    ['golden!', 6],
  ])('is ready when it says %j, as another rounding may make of its golden text', async (text, matched) => {
    server = await listen(new ScriptedEngine(says([text])));
    const { status, json } = await proven();
    expect(status).toBe(200);
    expect(json).toMatchObject({ ready: true, tiers: [{ golden: 'diverges', golden_matched_bytes: matched }] });
  });

  test.each([
    ['other', 0],
    ['goggles', 2],
    ['', 0],
  ])('is not ready when it says %j instead of its golden text', async (text, matched) => {
    server = await listen(new ScriptedEngine(says([text])));
    const { status, json } = await proven();
    expect(status).toBe(503);
    expect(json).toMatchObject({ ready: false, tiers: [{ golden: 'differs', golden_matched_bytes: matched }] });
  });

  test('answers at once while a proof waits behind the requests of a busy server', async () => {
    server = await listen(new ScriptedEngine(endless));
    const { status, json } = await get('/readyz');
    expect(status).toBe(503);
    expect(json).toMatchObject({ tiers: [{ state: 'ready', golden: 'unproven' }] });
  });

  test('proves a tier once, not on every probe', async () => {
    const engine = new ScriptedEngine(says(['golden']));
    server = await listen(engine);
    await Promise.all([get('/readyz'), get('/readyz')]);
    await proven();
    expect(engine.calls).toHaveLength(1);
    expect(engine.calls[0]!.options).toMatchObject({ temperature: 0, maxBytes: 6, deadlineAtMs: Infinity });
  });

  test('tries again after a proof that could not be made', async () => {
    let calls = 0;
    server = await listen(
      new ScriptedEngine(async function* failOnce() {
        calls += 1;
        if (calls === 1) throw new Error('worker died');
        yield new TextEncoder().encode('golden');
        return 'length';
      }),
    );
    expect((await proven()).status).toBe(200);
    expect(calls).toBe(2);
  });

  test('says why a tier is quarantined, and serves with the others', async () => {
    server = await listen(
      new ScriptedEngine(says(['golden']), [
        { id: 'stlm-small', state: 'ready' },
        { id: 'stlm-large', state: 'quarantined', reason: 'wrong sha256' },
        { id: 'stlm-huge', state: 'cold' },
      ]),
    );
    const { status, json } = await proven();
    expect(status).toBe(200);
    expect(json['tiers']).toEqual([
      { id: 'stlm-small', state: 'ready', golden: 'reproduced', golden_matched_bytes: 6, workers: [0], memory_bytes: 1_000 },
      { id: 'stlm-large', state: 'quarantined', reason: 'wrong sha256', golden: 'unproven', workers: [], memory_bytes: 0 },
      { id: 'stlm-huge', state: 'cold', golden: 'unproven', workers: [], memory_bytes: 0 },
    ]);
  });

  test('is not ready while everything is cold', async () => {
    server = await listen(new ScriptedEngine(says(['golden']), [{ id: 'stlm-small', state: 'cold' }]));
    expect((await get('/readyz')).status).toBe(503);
    expect((await get('/healthz')).status).toBe(200);
  });
});

describe('/v1/models', () => {
  test('lists the route and the tiers, each retrievable', async () => {
    server = await listen(new ScriptedEngine(says([])));
    const { json } = await get('/v1/models');
    const models = json['data'] as { id: string }[];
    expect(models.map(({ id }) => id)).toEqual(['stlm-auto', 'stlm-small']);
    for (const model of models) expect((await get(`/v1/models/${model.id}`)).json).toEqual(model);
    expect(models[1]).toMatchObject({ object: 'model', owned_by: 'stlm', stlm: { state: 'ready', parameters: 1_000_000, chat: false, bits_per_byte: 2 } });
  });
});

describe('another name of a model', () => {
  const aliases = new Map([
    ['gpt-4o-mini', 'stlm-auto@2s'],
    ['constructor', 'stlm-small'],
  ]);

  test('is listed, retrieved and answered, with the budget it was given', async () => {
    server = await listen(new ScriptedEngine(says(['ok'])), { aliases });
    const { data } = (await get('/v1/models')).json as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(['stlm-auto', 'stlm-small', 'gpt-4o-mini', 'constructor']);
    expect((await get('/v1/models/constructor')).json).toMatchObject({ id: 'constructor', stlm: { parameters: 1_000_000 } });
    const answer = await (await server.post('/v1/completions', { model: 'gpt-4o-mini', prompt: 'Once' })).json();
    expect(answer).toMatchObject({ model: 'stlm-small', stlm: { budget_ms: 2_000, budget_source: 'model' } });
    const route = await (await server.post('/v1/route', { model: 'constructor', prompt: 'Once' })).json();
    expect(route).toMatchObject({ tier: 'stlm-small', reason: 'pinned' });
  });

  test('is nothing that an object has by itself', async () => {
    server = await listen(new ScriptedEngine(says(['ok'])), { aliases });
    for (const model of ['__proto__', 'toString']) expect((await server.post('/v1/completions', { model, prompt: 'Once' })).status).toBe(404);
  });
});

describe('/v1/route', () => {
  test('says which tier would run, from which budget, without running it', async () => {
    const engine = new ScriptedEngine(says([]));
    server = await listen(engine);
    const response = await server.post('/v1/route', { model: 'stlm-auto@250ms', prompt: 'Once' });
    expect(await response.json()).toMatchObject({
      object: 'route',
      outcome: 'admitted',
      tier: 'stlm-small',
      reason: 'fits',
      budget_ms: 250,
      budget_source: 'model',
      tiers: [{ tier: 'stlm-small', verdict: 'fits', warm: true }],
    });
    expect(engine.calls).toHaveLength(0);
  });

  test('names a wrong field as a completion does', async () => {
    server = await listen(new ScriptedEngine(says([])));
    const response = await server.post('/v1/route', { model: 'stlm-auto', prompt: 7 });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: 'prompt' } });
  });
});

test('a request id that the client gave is given back', async () => {
  server = await listen(new ScriptedEngine(says([])));
  const response = await fetch(`${server.url}/healthz`, { headers: { 'x-request-id': 'mine-1' } });
  expect(response.headers.get('x-request-id')).toBe('mine-1');
});
