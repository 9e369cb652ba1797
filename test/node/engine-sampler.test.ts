import { describe, expect, test } from 'vitest';
import { VOCABULARY } from '../../functions/engine/patch.js';
import { IDLE_SAMPLER, penalises, samplerRow } from '../../functions/engine/sampler.js';
import { SeenBytes } from '../../functions/engine/seen-bytes.js';

const plain = { temperature: 1, topP: 1, topK: 0 };

describe('the sampler row of a text', () => {
  test('is off unless it would filter or penalise', () => {
    const off = Array.from({ length: 7 }, () => 0);
    expect([...samplerRow(plain)]).toEqual(off);
    expect([...samplerRow({ temperature: 0, topP: 0.5, topK: 3, minP: 0.5 })]).toEqual(off);
    expect([...samplerRow({ ...plain, minP: 0, frequencyPenalty: 0, presencePenalty: 0, repetitionPenalty: 1 })]).toEqual(off);
  });

  test('holds the filters that were asked for, the others idle', () => {
    expect([...samplerRow({ temperature: 0.5, topP: 0.25, topK: 0 })]).toEqual([0.5, 0.25, VOCABULARY, 0, 0, 0, 1]);
    expect([...samplerRow({ temperature: 0.5, topP: 1, topK: 40 })]).toEqual([0.5, 1, 40, 0, 0, 0, 1]);
    expect([...samplerRow({ ...plain, minP: 0.25 })]).toEqual([1, 1, VOCABULARY, 0.25, 0, 0, 1]);
  });

  test('holds penalties, of a greedy text beside filters that do nothing', () => {
    expect([...samplerRow({ temperature: 0, topP: 0.5, topK: 3, frequencyPenalty: 0.5, presencePenalty: -1, repetitionPenalty: 1.5 })]).toEqual([
      ...IDLE_SAMPLER.slice(0, 4), 0.5, -1, 1.5,
    ]);
  });

  test('keeps the likeliest id in the smallest nucleus a request can ask for', () => {
    const [, topP] = samplerRow({ ...plain, topP: Number.MIN_VALUE });
    expect(topP).toBeGreaterThan(0);
  });
});

test('bytes are counted where they are, forced ones for one run only, and marks nowhere', () => {
  const seen = new SeenBytes(Uint16Array.of(97, 97, 263));
  seen.write([98, 257]);
  const counted = (counts: Float32Array) => [...counts.entries()].filter(([, count]) => count > 0);
  expect(counted(seen.countsWith([]))).toEqual([[98, 1], [VOCABULARY + 97, 2]]);
  expect(counted(seen.countsWith([98, 99]))).toEqual([[98, 2], [99, 1], [VOCABULARY + 97, 2]]);
  expect(counted(seen.countsWith([]))).toEqual([[98, 1], [VOCABULARY + 97, 2]]);
});

test.each([
  [{}, false],
  [{ frequencyPenalty: -0.1 }, true],
  [{ presencePenalty: 0.1 }, true],
  [{ repetitionPenalty: 0.9 }, true],
])('%j penalises: %s', (options, expected) => {
  expect(penalises({ ...plain, ...options })).toBe(expected);
});
