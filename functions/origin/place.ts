/** Where a request is answered: here, by the tier that runs here, or at the origin, by a larger one. */
import { AUTO, type Decision, type Refusal, type RouteReason, type RouteRequest } from '../router/types.js';
import { alone, forecastMs, type TierForecast } from './forecast.js';

/** What is known of the origin. */
export interface View {
  readonly reachable: boolean;
  /** There and back. */
  readonly networkMs: number;
  /** Of `REFERENCE`, by tier; undefined: not known of late. */
  readonly forecasts: readonly TierForecast[] | undefined;
}

export type Place = { readonly where: 'here'; readonly reason?: RouteReason } | { readonly where: 'origin'; readonly budgetMs: number };

/** A budget that the origin refuses with the one that would do. */
const LEAST_BUDGET_MS = 1;

/**
 * @param leftMs of the request's budget.
 * @param here what would become of it here.
 */
export function choosePlace(request: RouteRequest, leftMs: number, here: Decision | Refusal, { reachable, networkMs, forecasts }: View): Place {
  const budgetMs = leftMs - networkMs;
  const there = { where: 'origin', budgetMs: Math.max(LEAST_BUDGET_MS, budgetMs) } as const;
  if (here.kind !== 'admitted') return there;
  if (request.tier !== AUTO) return { where: 'here' };
  if (!reachable) return { where: 'here', reason: 'origin_down' };
  if (budgetMs < LEAST_BUDGET_MS) return { where: 'here', reason: 'budget' };
  // What stands before its load is better done by whoever has no load before it.
  const isWarm = here.tiers.some(({ tier, warm }) => tier === here.placement.tier && warm);
  if (!isWarm || forecasts === undefined) return there;
  const larger = forecasts.filter(({ tier }) => tier !== here.placement.tier && (request.eligible?.includes(tier) ?? true));
  if (larger.some((tier) => forecastMs(tier, request) <= budgetMs)) return there;
  const isInTheWay = larger.some((tier) => forecastMs(alone(tier), request) <= budgetMs);
  return { where: 'here', reason: isInTheWay ? 'load' : 'budget' };
}
