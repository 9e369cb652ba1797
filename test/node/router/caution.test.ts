import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Caution, cautious, learnCaution, NEUTRAL } from '../../../functions/router/caution.js';
import { seededRandom } from '../../load/seeded.js';

/** Promises of 100 ms expected and 110 at the p95, against times whose excess over 100 is `scale` times an exponential of mean 10 ms. */
function brokenShare(scaleAt: (round: number) => number, rounds: number, countedFrom: number): number {
  const random = seededRandom(3);
  let caution: Caution = NEUTRAL;
  let broken = 0;
  for (let round = 0; round < rounds; round += 1) {
    const isBroken = 100 - 10 * scaleAt(round) * Math.log(1 - random()) > cautious(caution, 100, 110);
    if (isBroken && round >= countedFrom) broken += 1;
    caution = learnCaution(caution, isBroken);
  }
  return broken / (rounds - countedFrom);
}

describe('caution', () => {
  test('lets one promise in twenty be broken, whatever the errors look like', () => {
    for (const scale of [0.3, 1, 2]) expect(brokenShare(() => scale, 4_000, 500)).toBeCloseTo(0.05, 2);
  });

  test('finds its way back within two hundred answers when errors grow threefold', () => {
    expect(brokenShare((round) => (round < 1_000 ? 0.5 : 1.5), 1_400, 1_200)).toBeLessThan(0.1);
  });

  test('never promises less than what is expected, nor without bound', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 500 }), (outcomes) => {
        const p95Ms = cautious(outcomes.reduce(learnCaution, NEUTRAL), 100, 110);
        expect(p95Ms).toBeGreaterThan(100);
        expect(p95Ms).toBeLessThanOrEqual(181);
      }),
    );
  });
});
