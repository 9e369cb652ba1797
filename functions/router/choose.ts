/**
 * Which tier runs, given what each could do. Quality first: the largest tier that finishes the planned text inside the budget at the
 * p95. When no tier can finish, the smallest starts and its text ends at the deadline: it is the one that gets furthest. A request is
 * refused only when no text worth the name can be had.
 */
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
  | { readonly kind: 'infeasible' | 'unavailable' | 'overloaded' }
  | { readonly kind: 'loading'; readonly warm: C };

const RANK: Record<Reach, number> = { fits: 0, truncates: 1, late: 2 };
/** Placements whose predictions differ by less than this share, or 1 ms, are as fast as each other: the emptier worker takes it. */
const ALIKE = 0.05;

/** One tier on every worker. */
export type Placements<C extends Candidate> = readonly [C, ...C[]];

/** @param tiers those the request may use, ascending by size. */
export function choose<C extends Candidate>(tiers: readonly Placements<C>[], pinned: boolean): Choice<C> {
  const available = tiers.filter(([candidate]) => candidate.available);
  if (available.length === 0) return { kind: 'unavailable' };

  const best = available.map(bestPlacement);
  const fitting = best.findLast(
    (candidate, size) => candidate.reach.now === 'fits' && !candidate.crowds && (size === 0 || candidate.affordable),
  );
  const taken = fitting ?? best.find((candidate) => candidate.reach.now === 'truncates' && !candidate.crowds);
  if (taken !== undefined) {
    const larger = available.slice(best.indexOf(taken) + 1);
    const warm = larger.flat().findLast((candidate) => !candidate.warm && candidate.reach.warm === 'fits');
    const reason = pinned ? 'pinned' : fitting === undefined && warm === undefined ? 'truncates' : reasonFor(larger, warm !== undefined);
    return { kind: 'take', candidate: taken, reason, warm };
  }
  const placements = available.flat();
  if (placements.every((candidate) => candidate.reach.idle === 'late')) return { kind: 'infeasible' };
  // Where nothing is warm yet, only loads stand in the way.
  const warm =
    placements.find((candidate) => !candidate.warm && candidate.reach.warm !== 'late') ??
    (placements.some((candidate) => candidate.warm) ? undefined : best[0]);
  return warm === undefined ? { kind: 'overloaded' } : { kind: 'loading', warm };
}

function reasonFor(larger: readonly Placements<Candidate>[], warming: boolean): RouteReason {
  if (larger.length === 0) return 'fits';
  if (warming) return 'warming';
  return larger.flat().some((candidate) => candidate.reach.idle === 'fits') ? 'load' : 'budget';
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
