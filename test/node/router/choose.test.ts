import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bestPlacement, type Candidate, choose, type Placements, type Reach } from '../../../functions/router/choose.js';
import { budgetFirst, fixedTier, POLICIES, type Policy, policyNamed, qualityFirst } from '../../../functions/router/policy.js';

const ALL_FIT: Candidate['reach'] = { now: 'fits', warm: 'fits', idle: 'fits' };
const BUSY: Candidate['reach'] = { now: 'late', warm: 'late', idle: 'fits' };
const COLD: Candidate['reach'] = { now: 'late', warm: 'fits', idle: 'fits' };
const TOO_SLOW: Candidate['reach'] = { now: 'late', warm: 'late', idle: 'late' };
const CUT: Candidate['reach'] = { now: 'truncates', warm: 'truncates', idle: 'truncates' };

function candidate(tier: string, fields: Partial<Candidate> = {}): Candidate {
  return { tier, worker: 0, available: true, warm: true, reach: ALL_FIT, crowds: false, affordable: true, predictedMs: 10, backlogMs: 0, ...fields };
}

/** Three tiers on one worker, ascending. */
function three(small: Partial<Candidate>, middle: Partial<Candidate>, large: Partial<Candidate>): Placements<Candidate>[] {
  return [[candidate('small', small)], [candidate('middle', middle)], [candidate('large', large)]];
}

const reaches = fc.constantFrom<Reach>('fits', 'truncates', 'late');
const anyCandidate = (tier: string) =>
  fc.record({
    tier: fc.constant(tier),
    worker: fc.nat(1),
    available: fc.constant(true),
    warm: fc.boolean(),
    reach: fc.record({ now: reaches, warm: reaches, idle: reaches }),
    crowds: fc.boolean(),
    affordable: fc.boolean(),
    predictedMs: fc.nat(1_000),
    backlogMs: fc.nat(1_000),
  });
const anyTiers = fc.tuple(
  ...['small', 'middle', 'large'].map((tier) => fc.array(anyCandidate(tier), { minLength: 2, maxLength: 2 }) as fc.Arbitrary<[Candidate, Candidate]>),
);

describe('choosing a tier', () => {
  test('takes the largest that fits', () => {
    expect(choose(three({}, {}, {}), budgetFirst)).toMatchObject({ kind: 'take', candidate: { tier: 'large' }, reason: 'fits' });
    expect(choose(three({}, {}, { reach: TOO_SLOW }), budgetFirst)).toMatchObject({ candidate: { tier: 'middle' }, reason: 'budget' });
  });

  test('says that load, not the budget, kept a larger tier away', () => {
    expect(choose(three({}, { reach: BUSY }, { reach: TOO_SLOW }), budgetFirst)).toMatchObject({ candidate: { tier: 'small' }, reason: 'load' });
    expect(choose(three({}, { affordable: false }, { crowds: true }), budgetFirst)).toMatchObject({ candidate: { tier: 'small' }, reason: 'load' });
  });

  test('answers from a smaller tier while a larger one warms, and names the one to warm', () => {
    const choice = choose(three({}, { warm: false, reach: COLD }, { warm: false, reach: COLD }), budgetFirst);
    expect(choice).toMatchObject({ candidate: { tier: 'small' }, reason: 'warming', warm: { tier: 'large' } });
  });

  test('loads a cold tier in the foreground when the budget has time for it', () => {
    expect(choose(three({}, {}, { warm: false }), budgetFirst)).toMatchObject({ candidate: { tier: 'large' }, reason: 'fits' });
  });

  test('calls no budget infeasible that one of the workers could meet', () => {
    const slow = candidate('small', { reach: TOO_SLOW, predictedMs: 10 });
    const loading = candidate('small', { worker: 1, reach: COLD, warm: false, predictedMs: 20 });
    expect(choose([[slow, loading]], budgetFirst)).toMatchObject({ kind: 'loading', warm: { worker: 1 } });
  });

  test('lets the smallest begin when none can finish', () => {
    expect(choose(three({ reach: CUT }, { reach: CUT }, { reach: CUT }), budgetFirst)).toMatchObject({ candidate: { tier: 'small' }, reason: 'truncates' });
  });

  test('runs the smallest even when the load leaves no room for quality', () => {
    expect(choose(three({ affordable: false }, { affordable: false }, { affordable: false }), budgetFirst)).toMatchObject({ candidate: { tier: 'small' }, reason: 'load' });
  });

  test.each([
    ['infeasible', three({ reach: TOO_SLOW }, { reach: TOO_SLOW }, { reach: TOO_SLOW })],
    ['overloaded', three({ reach: BUSY }, { reach: TOO_SLOW }, { reach: TOO_SLOW })],
    ['overloaded', three({ crowds: true }, { crowds: true }, { crowds: true })],
    ['loading', three({ warm: false, reach: COLD }, { reach: TOO_SLOW }, { reach: TOO_SLOW })],
    ['unavailable', three({ available: false }, { available: false }, { available: false })],
  ] as const)('refuses as %s', (kind, tiers) => {
    expect(choose(tiers, budgetFirst).kind).toBe(kind);
  });

  test('passes over a quarantined tier', () => {
    expect(choose(three({}, {}, { available: false }), budgetFirst)).toMatchObject({ candidate: { tier: 'middle' }, reason: 'fits' });
  });

  test('never takes what is late or crowds others, and never leaves a larger one that fits', () => {
    fc.assert(
      fc.property(anyTiers, (tiers) => {
        const choice = choose(tiers as Placements<Candidate>[], budgetFirst);
        if (choice.kind !== 'take') return;
        const { candidate: taken } = choice;
        expect(taken.reach.now).not.toBe('late');
        expect(taken.crowds).toBe(false);
        const larger = tiers.slice(tiers.findIndex(([{ tier }]) => tier === taken.tier) + 1);
        for (const placement of larger.flat()) {
          const better = placement.reach.now === 'fits' && !placement.crowds && bestPlacement(larger.find((one) => one.includes(placement))!).affordable;
          expect(better).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a policy', () => {
  const chosen = (policy: Policy, tiers: readonly Placements<Candidate>[]) => {
    const choice = choose(tiers, policy);
    return choice.kind === 'take' ? choice.candidate.tier : choice.kind;
  };

  test('of quality takes the largest that finishes, whatever the load; where none does, the largest that begins', () => {
    expect(chosen(qualityFirst, three({}, {}, { affordable: false }))).toBe('large');
    expect(chosen(qualityFirst, three({ reach: CUT }, { reach: CUT }, { reach: TOO_SLOW }))).toBe('middle');
  });

  test('of cost takes the smallest that finishes, and says that it is by policy', () => {
    expect(choose(three({}, {}, {}), POLICIES['cost-first'])).toMatchObject({ candidate: { tier: 'small' }, reason: 'policy', warm: undefined });
    expect(chosen(POLICIES['cost-first'], three({ reach: CUT }, {}, {}))).toBe('middle');
  });

  test('of a fixed tier runs that one, whole or cut, loads no other and passes to none', () => {
    expect(chosen(fixedTier('middle'), three({}, {}, {}))).toBe('middle');
    expect(chosen(fixedTier('middle'), three({}, { reach: CUT }, {}))).toBe('middle');
    expect(chosen(fixedTier('middle'), three({}, { reach: BUSY }, {}))).toBe('overloaded');
    expect(chosen(fixedTier('middle'), three({}, { reach: TOO_SLOW }, {}))).toBe('infeasible');
    expect(chosen(fixedTier('middle'), three({}, { available: false }, {}))).toBe('unavailable');
    expect(choose(three({ warm: false, reach: COLD }, { warm: false, reach: COLD }, {}), fixedTier('middle'))).toMatchObject({ kind: 'loading', warm: { tier: 'middle' } });
  });

  test('has the name that configures it, and no other name means one', () => {
    for (const [name, policy] of Object.entries(POLICIES)) expect(policyNamed(name)).toBe(policy);
    expect(policyNamed('fixed:large')?.([candidate('small'), candidate('large')])?.tier).toBe('large');
    for (const name of ['', 'fixed:', 'toString', 'Budget-First']) expect(policyNamed(name)).toBeUndefined();
  });

  test('runs nothing that is late or crowds others, whichever it is', () => {
    fc.assert(
      fc.property(anyTiers, fc.constantFrom(...Object.values(POLICIES), fixedTier('middle')), (tiers, policy) => {
        const choice = choose(tiers as Placements<Candidate>[], policy);
        if (choice.kind !== 'take') return;
        expect(choice.candidate.reach.now).not.toBe('late');
        expect(choice.candidate.crowds).toBe(false);
      }),
    );
  });
});

describe('the best placement of a tier', () => {
  test('is where the text gets furthest, before where it is fastest', () => {
    expect(bestPlacement([candidate('small', { reach: CUT, predictedMs: 1 }), candidate('small', { worker: 1, predictedMs: 500 })]).worker).toBe(1);
  });

  test('is the emptier of two that are as fast', () => {
    expect(bestPlacement([candidate('small', { backlogMs: 90 }), candidate('small', { worker: 1, predictedMs: 10.5 })]).worker).toBe(1);
  });
});
