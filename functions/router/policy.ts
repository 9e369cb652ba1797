/**
 * Which tier runs, of those that can: a policy weighs quality, cost and the load against each other, and nothing else does. It is
 * asked for every request whose tier is open; what it takes is booked, and what it declines is refused.
 */
import type { Candidate } from './choose.js';

/**
 * @param best of every available tier its best placement, ascending by size; at least one.
 * @returns one of them, whose text fits or is worth cutting, or undefined if none should run.
 */
export type Policy = <C extends Candidate>(best: readonly C[]) => C | undefined;

/** The largest tier that finishes in time and that the load leaves room for; where none finishes, the one that gets furthest. */
export const budgetFirst: Policy = (best) => best.findLast((tier, size) => finishes(tier) && (size === 0 || tier.affordable)) ?? furthest(best);

/** The largest that finishes in time, whatever it takes from requests that are still to come. */
export const qualityFirst: Policy = (best) => best.findLast(finishes) ?? best.findLast(begins);

/** The smallest that finishes in time: the least compute for a whole text. */
export const costFirst: Policy = (best) => best.find(finishes) ?? furthest(best);

/** One tier for everybody. */
export function fixedTier(id: string): Policy {
  return (best) => best.find((tier) => tier.tier === id && (finishes(tier) || begins(tier)));
}

/** What `STLM_POLICY` may say, beside `fixed:` and a tier's id. */
export const POLICIES = { 'budget-first': budgetFirst, 'quality-first': qualityFirst, 'cost-first': costFirst } as const satisfies Record<string, Policy>;

const FIXED = 'fixed:';

/** The only tier that the policy of that name runs; undefined if it may run any. */
export function tierFixedBy(name: string): string | undefined {
  return name.startsWith(FIXED) && name.length > FIXED.length ? name.slice(FIXED.length) : undefined;
}

/** Undefined for a name that means nothing. */
export function policyNamed(name: string): Policy | undefined {
  const tier = tierFixedBy(name);
  if (tier !== undefined) return fixedTier(tier);
  return Object.hasOwn(POLICIES, name) ? POLICIES[name as keyof typeof POLICIES] : undefined;
}

/** A smaller tier writes more before the same deadline. */
function furthest<C extends Candidate>(best: readonly C[]): C | undefined {
  return best.find(begins);
}

function finishes({ reach, crowds }: Candidate): boolean {
  return reach.now === 'fits' && !crowds;
}

function begins({ reach, crowds }: Candidate): boolean {
  return reach.now === 'truncates' && !crowds;
}
