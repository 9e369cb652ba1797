import { describe, expect, test } from 'vitest';
import { KvBatch } from '../../functions/engine/kv-batch.js';
import { KvCache } from '../../functions/engine/kv-cache.js';
import { type Copy, evictions, footprint, idleCopies, prefixBytes } from '../../functions/engine/memory.js';
import { tinyModel } from './engine-models.js';
import { RecurrentSession } from './engine-recurrent-session.js';

const MINUTE_MS = 60_000;

const copy = (tier: string, worker: number, fields: Partial<Copy> = {}): Copy => ({ tier, worker, bytes: 100, warm: true, texts: 0, loadedAtMs: 0, usedAtMs: 0, ...fields });

const named = (copies: readonly Copy[] | undefined) => copies?.map(({ tier, worker }) => `${tier}/${worker}`);

const needing = (bytes: number, copies: readonly Copy[], budgetBytes: number) =>
  named(evictions(copies, { bytes, budgetBytes, smallest: 'small', nowMs: MINUTE_MS }));

const { manifest } = await tinyModel();
const ofSize = (bytes: number) => ({ ...manifest, files: [{ ...manifest.files[0]!, bytes }] });

describe('the estimate of what a tier takes', () => {
  test('has room for a full prefix cache, which is as large as the file, holds some contexts in any case, and is bounded', () => {
    expect(prefixBytes(ofSize(7e6))).toBe(7e6);
    // Of 128 patches, each 64 keys and 64 values in 2 layers.
    expect(prefixBytes(ofSize(1))).toBe(8 * 128 * 2 * 64 * 2 * 4);
    expect(prefixBytes(ofSize(1e9))).toBe(32 * 2 ** 20);
    // Mapped, packed, and what has been read of prompts.
    for (const bytes of [7e6, 31e6, 65e6]) expect(footprint(ofSize(bytes)).copy).toBeGreaterThan(2 * bytes + prefixBytes(ofSize(bytes)));
  });

  test.each([1, 2, 5, 8, 9])('covers %i texts, each with its own cache and rows of a batch', (texts) => {
    const session = new RecurrentSession();
    const { trunk, context } = manifest;
    const caches = Array.from({ length: texts }, () => new KvCache(session, trunk, context.patches));
    const batch = new KvBatch(session, trunk);
    batch.seat(caches);
    const feeds = [...caches.map((cache) => cache.feeds), batch.feeds(texts)];
    const bytes = feeds.flatMap((each) => Object.values(each)).reduce((sum, { data }) => sum + (data as Float32Array).buffer.byteLength, 0);
    expect(texts * footprint(manifest).text).toBeGreaterThanOrEqual(bytes);
  });
});

describe('room for a load', () => {
  test('is there without evictions while the budget holds all', () => {
    expect(needing(100, [copy('small', 0), copy('large', 0)], 300)).toEqual([]);
  });

  test('is made by the least recently used copies, and by no more than it takes', () => {
    const copies = [copy('small', 0, { usedAtMs: 9 }), copy('medium', 0, { usedAtMs: 5 }), copy('large', 0, { usedAtMs: 3 }), copy('large', 1, { usedAtMs: 7 })];
    expect(needing(100, copies, 400)).toEqual(['large/0']);
    expect(needing(150, copies, 400)).toEqual(['medium/0', 'large/0']);
  });

  test('spares what turns out too small to matter', () => {
    const copies = [copy('small', 0, { bytes: 10 }), copy('small', 1, { bytes: 10, usedAtMs: 9 }), copy('medium', 0, { usedAtMs: 5 })];
    expect(needing(90, copies, 120)).toEqual(['medium/0']);
  });

  test('is not made by a copy with texts in flight, by one that is loading or going, nor by one just loaded', () => {
    const copies = [copy('small', 0), copy('medium', 0, { texts: 1 }), copy('large', 0, { warm: false }), copy('large', 1, { loadedAtMs: MINUTE_MS - 1_000 })];
    expect(needing(100, copies, 400)).toBeUndefined();
  });

  test('is made by a copy of the smallest tier, but not by its last', () => {
    expect(needing(100, [copy('small', 0), copy('small', 1, { usedAtMs: 1 })], 200)).toEqual(['small/0']);
    expect(needing(100, [copy('small', 0), copy('small', 1, { warm: false })], 200)).toBeUndefined();
    expect(needing(200, [copy('small', 0), copy('small', 1)], 200)).toBeUndefined();
  });
});

describe('idle copies', () => {
  const idle = (copies: readonly Copy[], kept: readonly string[] = []) => named(idleCopies(copies, { leastMs: 1_000, smallest: 'small', kept, nowMs: MINUTE_MS }));

  test('are those that no text has used for long enough, the smallest tier never', () => {
    const copies = [copy('small', 0), copy('medium', 0, { usedAtMs: MINUTE_MS - 999 }), copy('large', 0, { texts: 1 }), copy('large', 1)];
    expect(idle(copies)).toEqual(['large/1']);
  });

  test('leave one of a tier that is kept, the most recently used', () => {
    expect(idle([copy('large', 0, { usedAtMs: 2 }), copy('large', 1, { usedAtMs: 1 }), copy('medium', 0)], ['large'])).toEqual(['medium/0', 'large/1']);
  });
});
