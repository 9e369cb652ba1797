/** Texts kept inside a grammar, by a real session: the tiny model knows no JSON, and writes it all the same. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shortest } from '../../functions/grammar/automaton.js';
import { anyObject } from '../../functions/grammar/json.js';
import { schemaRegex } from '../../functions/grammar/json-schema.js';
import { compileRegex } from '../../functions/grammar/regex.js';
import type { ModelShape } from '../../functions/engine/generate.js';
import type { ModelSession } from '../../functions/engine/onnx-runtime.js';
import { bestRuntime, openSession } from '../../functions/engine/open-session.js';
import { Pace } from '../../functions/engine/pace.js';
import { greedy, textOf, tinyModel } from './engine-models.js';
import { Solo } from './engine-solo.js';

let session: ModelSession;
let shape: ModelShape;
beforeAll(async () => {
  const model = await tinyModel();
  ({ shape } = model);
  session = await openSession(model.file, { runtime: (await bestRuntime()).runtime, threads: 1 });
});
afterAll(() => session.release());

async function write(prompt: string, regex: string, options: Parameters<typeof greedy>[1] = {}) {
  const generation = new Solo({ session, shape, pace: new Pace({ prefillPatchMs: 0, decodePatchMs: 0 }), nowMs: () => 0 }, greedy(prompt, { grammar: compileRegex(regex), ...options }));
  const chunks: Uint8Array[] = [];
  while (generation.outcome === undefined) chunks.push(await generation.step());
  return { text: textOf(chunks), outcome: generation.outcome };
}

const SEEDS = [1, 2, 3, 4, 5, 6];
const person = schemaRegex({
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0 }, alive: { type: 'boolean' } },
  required: ['name', 'age', 'alive'],
  additionalProperties: false,
});

describe('a text with a grammar', () => {
  test.each(SEEDS)('is one of its texts, whatever the model would rather write (seed %i)', async (seed) => {
    for (const temperature of [0, 1]) {
      const { text, outcome } = await write('Once upon a time', person, { temperature, seed, maxBytes: 90 });
      expect(JSON.parse(text)).toEqual({ name: expect.any(String), age: expect.any(Number), alive: expect.any(Boolean) });
      expect(outcome.stopCause).toBe('eod');
    }
  });

  test('comes to its end in the length it has, be it only just enough', async () => {
    const least = shortest(compileRegex(person));
    for (const maxBytes of [least, least + 1, least + 7]) {
      const { text } = await write('Once', person, { temperature: 1, maxBytes });
      expect(text.length).toBeLessThanOrEqual(maxBytes);
      expect(JSON.parse(text)).toHaveProperty('alive');
    }
  });

  test('goes on in the middle of a word of the prompt, which is no part of it', async () => {
    for (const seed of SEEDS) expect((await write('The answer is ye', 's|t|llow', { temperature: 1, seed })).text).toMatch(/^(?:s|t|llow)$/);
  });

  test('is kept even by a nucleus that has only what is forbidden in it', async () => {
    for (const seed of SEEDS) {
      const { text } = await write('Once upon a time there was', '[0-9]{12}', { temperature: 1, topP: 0.01, topK: 1, seed });
      expect(text).toMatch(/^[0-9]{12}$/);
    }
  });

  test('holds bytes back no longer than their patch, and none of them twice', async () => {
    const { text, outcome } = await write('x', anyObject(1), { temperature: 1, seed: 3, maxBytes: 60 });
    expect(() => JSON.parse(text) as unknown).not.toThrow();
    expect(outcome.completionBytes).toBe(text.length);
  });

  test('takes one run a patch where nothing is left to choose', async () => {
    const { text, outcome } = await write('x', 'the quick brown fox jumps over the lazy dog');
    expect(text).toBe('the quick brown fox jumps over the lazy dog');
    expect(outcome.decodedPatches).toBe(text.split(' ').length);
  });

  test('is the same for the same seed', async () => {
    const [first, second] = [await write('x', person, { temperature: 1, seed: 9 }), await write('x', person, { temperature: 1, seed: 9 })];
    expect(first.text).toBe(second.text);
  });

  test('may be whole and still end at a stop string', async () => {
    expect((await write('x', '[ab]{3}END[ab]{3}', { temperature: 1, stop: [new TextEncoder().encode('END')] })).text).toMatch(/^[ab]{3}$/);
  });
});
