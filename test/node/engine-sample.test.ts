import { describe, expect, test } from 'vitest';
import { PATCH_CAP, SPECIAL, VOCABULARY } from '../../functions/engine/patch.js';
import { PatchNoise, SeededRandom } from '../../functions/engine/sample.js';

const row = (noise: PatchNoise, turn: number) => noise.data.subarray(turn * VOCABULARY, (turn + 1) * VOCABULARY);

function drawnWith(seed: number): string {
  const noise = new PatchNoise({ temperature: 1, logitBias: new Map() }, new SeededRandom(seed));
  noise.prepare([]);
  return noise.data.join();
}

function argmax(scores: Float32Array): number {
  return scores.indexOf(Math.max(...scores));
}

describe('sampling noise', () => {
  test('draws each id as often as softmax(logits / temperature) says', () => {
    const temperature = 0.7;
    const logits = new Map([[97, 2], [98, 1.5], [99, 0], [100, -1], [SPECIAL.eod, 0.5], [101, -2.5]]);
    // Every other byte is out of reach, so that few draws suffice; a fixed seed makes the test exact.
    const bias = new Map(Array.from({ length: 256 }, (_, byte) => [byte, logits.get(byte) ?? -60]));
    const noise = new PatchNoise({ temperature, logitBias: bias }, new SeededRandom(7));
    const drawn = new Map<number, number>();
    const draws = 40_000;
    for (let patch = 0; patch < draws / PATCH_CAP; patch += 1) {
      noise.prepare([]);
      for (let turn = 0; turn < PATCH_CAP; turn += 1) {
        const scores = row(noise, turn);
        scores[SPECIAL.eod]! += 0.5;
        scores[SPECIAL.end_of_turn]! -= 60;
        const id = argmax(scores);
        drawn.set(id, (drawn.get(id) ?? 0) + 1);
      }
    }
    const total = [...logits.values()].reduce((sum, logit) => sum + Math.exp(logit / temperature), 0);
    const count = [...drawn.values()].reduce((sum, times) => sum + times, 0);
    let chiSquared = 0;
    for (const [id, logit] of logits) {
      const expected = (count * Math.exp(logit / temperature)) / total;
      chiSquared += ((drawn.get(id) ?? 0) - expected) ** 2 / expected;
    }
    // 5 degrees of freedom: 20.5 is passed once in a thousand seeds.
    expect(chiSquared).toBeLessThan(20.5);
    expect([...drawn.keys()].every((id) => logits.has(id))).toBe(true);
  });

  test('is the same for the same seed, another for every other, high bits included', () => {
    expect(drawnWith(3)).toBe(drawnWith(3));
    expect(new Set([0, 1, 2, -1, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER].map(drawnWith)).size).toBe(7);
  });

  test('draws anew what a patch has used, and only that', () => {
    const noise = new PatchNoise({ temperature: 1, logitBias: new Map() }, new SeededRandom(5));
    noise.prepare([97, 98]);
    const before = Array.from({ length: PATCH_CAP }, (_, turn) => row(noise, turn).join());
    noise.prepare([], 4);
    const kept = before.map((draws, turn) => row(noise, turn).join() === draws);
    expect(kept).toEqual(before.map((_, turn) => turn >= 4));
    expect(noise.data.every((value) => value < 1e6)).toBe(true);
  });

  test('greedy leaves logits as they are, and adds the bias', () => {
    const noise = new PatchNoise({ temperature: 0, logitBias: new Map([[97, -5]]) }, new SeededRandom(1));
    noise.prepare([]);
    for (let turn = 0; turn < PATCH_CAP; turn += 1) {
      expect(row(noise, turn)[97]).toBe(-5);
      expect(row(noise, turn)[98]).toBe(0);
      expect(row(noise, turn)[SPECIAL.eod]).toBe(0);
    }
  });

  test.each([0, 1])('bans every special but the ends of a text, at temperature %d', (temperature) => {
    const noise = new PatchNoise({ temperature, logitBias: new Map() }, new SeededRandom(1));
    noise.prepare([]);
    for (let turn = 0; turn < PATCH_CAP; turn += 1) {
      const allowed = [...row(noise, turn).keys()].filter((id) => id >= 256 && row(noise, turn)[id]! > -1e6);
      expect(allowed).toEqual([SPECIAL.eod, SPECIAL.end_of_turn]);
    }
  });

  test.each([0, 1.5])('forces the prefix of one patch only, at temperature %d', (temperature) => {
    const noise = new PatchNoise({ temperature, logitBias: new Map([[97, -100]]) }, new SeededRandom(1));
    noise.prepare([97, 98]);
    expect(argmax(row(noise, 0))).toBe(97);
    expect(argmax(row(noise, 1))).toBe(98);
    expect(row(noise, 2).every((value) => value < 1e6)).toBe(true);
    noise.prepare([]);
    expect(noise.data.every((value) => value < 1e6)).toBe(true);
    expect(row(noise, 0)[97]).toBeLessThan(-50);
  });
});
