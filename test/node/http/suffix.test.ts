import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SPECIAL } from '../../../functions/engine/patch.js';
import type { Completion } from '../../../functions/schema/completion.js';
import type { ModelList } from '../../../functions/schema/model.js';
import type { RouteAnswer } from '../../../functions/schema/route.js';
import { says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

const TIERS = ['stlm-small', 'stlm-medium', 'stlm-large'];

let engine: ScriptedEngine;
let server: TestServer;
beforeEach(async () => {
  engine = new ScriptedEngine(says(['middle']), TIERS.map((id) => ({ id, state: 'ready' })), [], ['stlm-small', 'stlm-medium']);
  server = await listen(engine);
});
afterEach(() => server.close());

const gap = { model: 'stlm-auto', prompt: 'before ', suffix: ' after' };
const complete = async (fields: object) => (await (await server.post('/v1/completions', { ...gap, ...fields })).json()) as Completion;

describe('a gap', () => {
  test('is filled by the largest tier that was trained to, and asked for by its marks', async () => {
    expect((await complete({})).model).toBe('stlm-medium');
    const [{ options }] = engine.calls as [(typeof engine.calls)[number]];
    const encode = (text: string) => [...new TextEncoder().encode(text)];
    expect([...options.prompt]).toEqual([SPECIAL.fim_suffix, ...encode(' after'), SPECIAL.fim_prefix, SPECIAL.fim_middle, ...encode('before ')]);
    expect(options.endsWithContext).toBe(true);
  });

  test('is routed as it is answered', async () => {
    const { tier, tiers } = (await (await server.post('/v1/route', gap)).json()) as RouteAnswer;
    expect(tier).toBe('stlm-medium');
    expect(tiers.map((one) => one.tier)).toEqual(['stlm-small', 'stlm-medium']);
  });

  test('of a tier that was not trained to is a 400 naming the suffix; without a suffix, or with an empty one, it answers', async () => {
    const response = await server.post('/v1/completions', { ...gap, model: 'stlm-large' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: 'suffix', code: 'model_not_infill' } });
    for (const suffix of ['', null]) expect((await complete({ suffix })).model).toBe('stlm-large');
    expect(engine.calls.at(-1)!.options.endsWithContext).toBeUndefined();
  });

  test('is what a model says of itself', async () => {
    const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as ModelList;
    expect(data.map(({ stlm }) => stlm?.infill)).toEqual([undefined, true, true, false]);
  });

  test('is a kind of text of its own: how long they are says nothing of others', async () => {
    await complete({});
    expect(server.records.find(({ event }) => event === 'decision')).toMatchObject({ request: { lengthClass: 'infill' } });
  });
});
