/**
 * What becomes of a request, given what each tier could do with it: the best worker of each tier, one of them by policy, and the
 * reason for it. A request is refused only when the policy wants none of them, and told whether load, loading or its budget is why.
 */
import type { Policy } from './policy.js';
import type { RouteReason, TierVerdict } from './types.js';

/** How far a request gets by its deadline; see `TierVerdict`. */
export type Reach = 'fits' | 'truncates' | 'late';

/** One tier on one worker. */
export interface Candidate {
  readonly tier: string;
  readonly worker: number;
  readonly available: boolean;
  readonly warm: boolean;
  readonly reach: {
    readonly now: Reach;
    /** Were the tier loaded. */
    readonly warm: Reach;
    /** Were it loaded and the worker idle. */
    readonly idle: Reach;
  };
  readonly crowds: boolean;
  /** Whether the load leaves room for this tier rather than a smaller one. */
  readonly affordable: boolean;
  readonly predictedMs: number;
  readonly backlogMs: number;
}

export type Choice<C extends Candidate> =
  | { readonly kind: 'take'; readonly candidate: C; readonly reason: RouteReason; readonly warm: C | undefined }
  | { readonly kind: 'unavailable' }
  /** `usable`: every placement that the policy could have taken, at another time or with another budget. */
  | { readonly kind: 'infeasible' | 'overloaded'; readonly usable: readonly C[] }
  | { readonly kind: 'loading'; readonly usable: readonly C[]; readonly warm: C };

const RANK: Record<Reach, number> = { fits: 0, truncates: 1, late: 2 };
/** Placements whose predictions differ by less than this share, or 1 ms, are as fast as each other: the emptier worker takes it. */
const ALIKE = 0.05;

/** One tier on every worker. */
export type Placements<C extends Candidate> = readonly [C, ...C[]];

/** @param tiers those the request may use, ascending by size. */
export function choose<C extends Candidate>(tiers: readonly Placements<C>[], policy: Policy): Choice<C> {
  const runnable = tiers.filter(([candidate]) => candidate.available && policy([supposing(candidate, 'fits')]) !== undefined);
  if (runnable.length === 0) return { kind: 'unavailable' };

  const best = runnable.map(bestPlacement);
  const taken = policy(best);
  if (taken !== undefined) {
    const larger = runnable.slice(best.indexOf(taken) + 1);
    const warm = larger.flat().findLast((candidate) => !candidate.warm && candidate.reach.warm === 'fits' && prefers(policy, candidate, taken));
    return { kind: 'take', candidate: taken, reason: reasonFor(taken, larger, warm, policy), warm };
  }
  const usable = runnable.flat();
  if (usable.every((candidate) => candidate.reach.idle === 'late')) return { kind: 'infeasible', usable };
  // Where nothing is warm yet, only loads stand in the way.
  const warm =
    usable.find((candidate) => !candidate.warm && candidate.reach.warm !== 'late') ??
    (usable.some((candidate) => candidate.warm) ? undefined : best[0]);
  return warm === undefined ? { kind: 'overloaded', usable } : { kind: 'loading', usable, warm };
}

function reasonFor<C extends Candidate>(taken: C, larger: readonly Placements<C>[], warm: C | undefined, policy: Policy): RouteReason {
  if (warm !== undefined) return 'warming';
  if (taken.reach.now !== 'fits') return 'truncates';
  if (larger.length === 0) return 'fits';
  const feasible = larger.flat().filter((candidate) => candidate.reach.idle === 'fits');
  if (feasible.length === 0) return 'budget';
  return feasible.some((candidate) => prefers(policy, candidate, taken)) ? 'load' : 'policy';
}

/** Whether the policy would take it rather than the one taken, had it nobody's work in its way. */
function prefers<C extends Candidate>(policy: Policy, candidate: C, taken: C): boolean {
  return policy([taken, supposing(candidate, 'fits')]) !== taken;
}

function supposing<C extends Candidate>(candidate: C, now: Reach): C {
  return { ...candidate, reach: { ...candidate.reach, now }, crowds: false, affordable: true };
}

/** Where a tier would best run: where it gets furthest, then where it harms nobody, then soonest, then where least is queued. */
export function bestPlacement<C extends Candidate>(placements: Placements<C>): C {
  return placements.reduce((best, candidate) => (compare(candidate, best) < 0 ? candidate : best));
}

function compare(a: Candidate, b: Candidate): number {
  const byReach = RANK[a.reach.now] - RANK[b.reach.now];
  if (byReach !== 0) return byReach;
  if (a.crowds !== b.crowds) return a.crowds ? 1 : -1;
  const byTime = a.predictedMs - b.predictedMs;
  if (Math.abs(byTime) > Math.max(1, ALIKE * b.predictedMs)) return byTime;
  return a.backlogMs - b.backlogMs || a.worker - b.worker;
}

export function verdict({ available, warm, reach, crowds }: Candidate): TierVerdict {
  if (!available) return 'unavailable';
  if (!warm && RANK[reach.warm] < RANK[reach.now]) return 'cold';
  if (reach.now === 'late') return 'late';
  return crowds ? 'crowds' : reach.now;
}
