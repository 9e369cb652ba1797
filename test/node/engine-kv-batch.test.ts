import { expect, test } from 'vitest';
import { KvBatch } from '../../functions/engine/kv-batch.js';
import { KvCache } from '../../functions/engine/kv-cache.js';
import { RecurrentSession } from './engine-recurrent-session.js';

const { trunk } = RecurrentSession.shape;
const session = new RecurrentSession();

function cacheOf(value: number): KvCache {
  const cache = new KvCache(session, trunk, 1);
  cache.append(new Float32Array(2 * trunk.layers * trunk.kvHeads * trunk.headDim).fill(value));
  return cache;
}

/** The buffers' rows, those that the run reads and the others. */
function rowsOf(batch: KvBatch): number {
  const { data, dims } = batch.feeds(1)['pk0']!;
  return (data as Float32Array).buffer.byteLength / (4 * dims.slice(1).reduce((product, size) => product * size, 1));
}

/** What the first slot of each row holds. */
function read(batch: KvBatch, count: number): number[] {
  const { data, dims } = batch.feeds(count)['pk0']!;
  const rowLength = dims.slice(1).reduce((product, size) => product * size, 1);
  return Array.from({ length: count }, (_, row) => (data as Float32Array)[row * rowLength]!);
}

test('a batch has at most two rows for each of its texts, also once a peak of them is over', () => {
  const batch = new KvBatch(session, trunk);
  const caches = Array.from({ length: 16 }, (_, index) => cacheOf(index));
  batch.seat(caches);
  expect(rowsOf(batch)).toBe(16);
  while (caches.length > 2) {
    // From the front, so that those behind have to move up.
    batch.leave(caches.shift()!);
    const values = batch.seat(caches).map((cache) => caches.indexOf(cache) + 16 - caches.length);
    expect(read(batch, caches.length)).toEqual(values);
    expect(rowsOf(batch)).toBeLessThanOrEqual(2 * caches.length);
  }
});

test('a batch keeps its buffers while a text comes and another goes', () => {
  const batch = new KvBatch(session, trunk);
  const caches = [0, 1, 2, 3].map(cacheOf);
  batch.seat(caches);
  const { data } = batch.feeds(4)['pk0']!;
  batch.leave(caches.pop()!);
  caches.push(cacheOf(4));
  batch.seat(caches);
  expect(batch.feeds(4)['pk0']!.data).toBe(data);
});
