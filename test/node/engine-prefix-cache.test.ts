import { describe, expect, test } from 'vitest';
import { Pace } from '../../functions/engine/pace.js';
import { PATCH_CAP } from '../../functions/engine/patch.js';
import { type PrefixCache, prefixCache } from '../../functions/engine/prefix-cache.js';
import type { Feeds } from '../../functions/engine/session.js';
import type { GenerateOptions } from '../../functions/engine/types.js';
import { greedy, textOf } from './engine-models.js';
import { RecurrentSession } from './engine-recurrent-session.js';
import { Solo } from './engine-solo.js';

const rows = (id: number) => new Int32Array(3 * PATCH_CAP).fill(id);
const kv = (value: number, length = 100) => new Float32Array(length).fill(value);
/** A chunk of `kv()` and its key. */
const CHUNK_BYTES = 400 + 2 * 3 * PATCH_CAP;

describe('a prefix cache', () => {
  test('finds what follows the same beginning, and nothing after another', () => {
    const cache = prefixCache(1e6);
    const one = cache.add(cache.root('me'), rows(1), kv(1))!;
    cache.add(one, rows(2), kv(2));
    expect(cache.find(cache.root('me'), rows(1))?.value).toEqual(kv(1));
    expect(cache.find(cache.find(cache.root('me'), rows(1))!, rows(2))?.value).toEqual(kv(2));
    expect(cache.find(cache.root('me'), rows(2))).toBeUndefined();
    expect(cache.find(one, rows(1))).toBeUndefined();
  });

  test('shows nobody what another salt has put in', () => {
    const cache = prefixCache(1e6);
    cache.add(cache.root('me'), rows(1), kv(1));
    expect(cache.find(cache.root('you'), rows(1))).toBeUndefined();
  });

  test('stays within its bytes and forgets what has not been used for longest, ends before beginnings', () => {
    const cache = prefixCache(3 * CHUNK_BYTES);
    const root = cache.root('');
    const one = cache.add(root, rows(1), kv(1))!;
    cache.add(one, rows(2), kv(2));
    cache.add(root, rows(3), kv(3));
    cache.find(one, rows(2));
    cache.add(root, rows(4), kv(4));
    expect(cache.bytes).toBe(3 * CHUNK_BYTES);
    expect(cache.find(root, rows(3))).toBeUndefined();
    cache.add(root, rows(5), kv(5));
    expect(cache.find(one, rows(2))).toBeUndefined();
    expect(cache.find(root, rows(1))).toBeDefined();
  });

  test('takes nothing after what it has forgotten', () => {
    const cache = prefixCache(CHUNK_BYTES);
    const one = cache.add(cache.root(''), rows(1), kv(1))!;
    cache.add(cache.root(''), rows(2), kv(2));
    expect(cache.add(one, rows(3), kv(3))).toBeUndefined();
    expect(cache.bytes).toBe(CHUNK_BYTES);
  });

  test('holds nothing of clients that came once, and of no chunk larger than itself', () => {
    const cache = prefixCache(2 * CHUNK_BYTES);
    for (let client = 0; client < 1_000; client += 1) cache.add(cache.root(`client ${client}`), rows(1), kv(1));
    expect(cache.bytes).toBe(2 * CHUNK_BYTES);
    expect(cache.add(cache.root(''), rows(1), kv(1, 1_000))).toBeUndefined();
    expect(cache.bytes).toBe(2 * CHUNK_BYTES);
  });

  test('of two first prompts of a salt keeps what both have read', () => {
    const cache = prefixCache(1e6);
    const [mine, yours] = [cache.root(''), cache.root('')];
    cache.add(mine, rows(1), kv(1));
    cache.add(yours, rows(2), kv(2));
    expect(cache.find(mine, rows(2))).toBeDefined();
    expect(cache.find(yours, rows(1))).toBeDefined();
  });
});

describe('a text whose prompt begins like an earlier one', () => {
  const shape = { ...RecurrentSession.shape, contextPatches: 400, chunkPatches: 8 };

  async function generate(prompt: string, prefixes: PrefixCache, options: Partial<GenerateOptions> = {}, session = new RecurrentSession()) {
    const pace = new Pace({ prefillPatchMs: 0, decodePatchMs: 0 });
    const solo = new Solo({ session, shape, pace, prefixes, nowMs: () => 0 }, greedy(prompt, { temperature: 0.9, seed: 3, ...options }));
    const chunks: Uint8Array[] = [];
    while (solo.outcome === undefined) chunks.push(await solo.step());
    const read = session.runs.reduce((sum, { patches }) => sum + patches, 0);
    return { text: textOf(chunks), outcome: solo.outcome, promptPatchesRead: read - solo.outcome.decodedPatches + 1 };
  }

  const SHARED = 'ab '.repeat(40);

  test('gives the same text, reads only what is new, and says so', async () => {
    for (const rest of ['', 'x', 'cd ef ', 'cd '.repeat(30)]) {
      const prefixes = prefixCache(1e7);
      await generate(`${SHARED}gh `.repeat(2), prefixes);
      const fresh = await generate(SHARED + rest, prefixCache(0));
      const cached = await generate(SHARED + rest, prefixes);
      expect(cached.text).toBe(fresh.text);
      // [bod] and 40 words are 41 patches: five chunks of 8, unless the fifth ends the prompt.
      expect(cached.outcome).toMatchObject({ cachedPatches: 40, cachedBytes: 3 * 39, promptPatches: fresh.outcome.promptPatches });
      expect(cached.promptPatchesRead).toBe(fresh.promptPatchesRead - 40);
    }
  });

  test('does not depend on outputs that the runtime writes again', async () => {
    class ThriftySession extends RecurrentSession {
      #last = new Float32Array();

      override async run(feeds: Feeds, outputs: readonly string[]) {
        const results = await super.run(feeds, outputs);
        this.#last.fill(0);
        this.#last = results['newkv']!.data as Float32Array<ArrayBuffer>;
        return results;
      }
    }
    const prefixes = prefixCache(1e7);
    const first = await generate(SHARED, prefixes, {}, new ThriftySession());
    const again = await generate(SHARED, prefixes, {}, new ThriftySession());
    expect(again.text).toBe(first.text);
    expect(again.outcome.cachedPatches).toBe(40);
  });

  test('reads at least the end of it, however often it was asked', async () => {
    const prefixes = prefixCache(1e7);
    const prompt = 'ab '.repeat(15);
    await generate(prompt, prefixes);
    const again = await generate(prompt, prefixes);
    expect(again.outcome).toMatchObject({ promptPatches: 16, cachedPatches: 8 });
    expect(again.text).toBe((await generate(prompt, prefixCache(0))).text);
  });

  test('is not given up as too late when another has read it meanwhile', async () => {
    const prefixes = prefixCache(1e7);
    const pace = new Pace({ prefillPatchMs: 10, decodePatchMs: 1 });
    const parts = { session: new RecurrentSession(), shape, pace, prefixes, nowMs: () => 0 };
    const waiting = new Solo(parts, greedy(SHARED, { maxBytes: 1, deadlineAtMs: 100 }));
    await generate(SHARED, prefixes);
    await waiting.step();
    expect(waiting.outcome).toMatchObject({ stopCause: 'length', cachedPatches: 40 });
  });

  test('says what need not be read of it though nothing is to be written', async () => {
    const prefixes = prefixCache(1e7);
    await generate(SHARED, prefixes);
    expect((await generate(SHARED, prefixes, { maxBytes: 0 })).outcome).toMatchObject({ decodedPatches: 0, cachedPatches: 40 });
  });

  test('of another key reads it all', async () => {
    const prefixes = prefixCache(1e7);
    await generate(SHARED, prefixes, { cacheSalt: 'me' });
    expect((await generate(SHARED, prefixes, { cacheSalt: 'you' })).outcome.cachedPatches).toBe(0);
    expect((await generate(SHARED, prefixes, { cacheSalt: 'me' })).outcome.cachedPatches).toBe(40);
  });

  test('finds nothing where the same words stand elsewhere in the window', async () => {
    const prefixes = prefixCache(1e7);
    await generate(SHARED, prefixes);
    const moved = `zz ${SHARED}`;
    expect((await generate(moved, prefixes)).outcome.cachedPatches).toBe(0);
  });

  test('that outgrew the context shares with one that was cut in the same place', async () => {
    const prefixes = prefixCache(1e7);
    const long = 'ab cd ef '.repeat(200);
    const first = await generate(long, prefixes);
    const again = await generate(long, prefixes);
    expect(again.text).toBe(first.text);
    expect(again.outcome).toMatchObject({ contextTruncated: true, promptPatches: 200, cachedPatches: 192 });
  });

  test('leaves nothing of what was written', async () => {
    const prefixes = prefixCache(1e7);
    const { text } = await generate('ab ', prefixes, { maxBytes: 200 });
    expect(prefixes.bytes).toBe(0);
    expect((await generate(`ab ${text}`, prefixes)).outcome.cachedPatches).toBe(0);
  });
});
