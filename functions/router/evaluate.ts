/** What every tier on every worker would do with a request right now: predictions and ledgers brought together, nothing booked. */
import { chunkPatches } from '../engine/chunk.js';
import type { Manifest } from '../schema/manifest.js';
import { backlogMs, crowds, wait, type WorkerLedger } from './admit.js';
import { cautious } from './caution.js';
import type { Candidate, Placements, Reach } from './choose.js';
import { companyIn, rowsOf } from './company.js';
import { affords, type Headroom } from './headroom.js';
import { caution, type LatencyModel, margin, overhead, predictCompute, tierModel } from './predict.js';
import { interruption, type Traffic } from './traffic.js';
import { AUTO, type RouteRequest } from './types.js';

/** A candidate with the forecast behind it. */
export interface Evaluation extends Candidate {
  readonly waitMs: number;
  readonly loadMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly expectedMs: number;
  readonly predictedFirstByteMs: number;
  readonly plannedBytes: number;
  /** Expected compute that all generations add to the worker's, and the longest single run in it. */
  readonly workMs: number;
  readonly runMs: number;
  /** The work that later admissions may not take away. */
  readonly promisedMs: number;
  /** The budget at which this tier's first patch would just fit on an idle, warm server. */
  readonly cheapestMs: number;
  /** By how much the work is too long for what is left of the budget. */
  readonly excessMs: number;
}

export interface Surroundings {
  readonly nowMs: number;
  readonly manifests: readonly Manifest[];
  readonly model: LatencyModel;
  /** One per worker, brought up to `nowMs`. */
  readonly ledgers: readonly WorkerLedger[];
  readonly isAvailable: (placement: { tier: string; worker: number }) => boolean;
  readonly isWarm: (placement: { tier: string; worker: number }) => boolean;
  readonly isLoading: (placement: { tier: string; worker: number }) => boolean;
  readonly maxBookings: number;
  readonly headroom: Headroom;
  readonly traffic: Traffic;
}

/** A text cut to less than this share of what an idle server would give is not worth admitting, nor worth leaving of one admitted. */
const LEAST_SHARE = 0.5;
/** Of a normal distribution, up to its p95. */
const DEVIATIONS = 1.645;
/** After so long an idle worker is about as likely busy as ever. */
const RETURN_MS = 300;
/** Loads scatter with the page cache; the tail of a load over its expectation. */
const LOAD_MARGIN = 1.25;

/** The tiers the request may use, ascending by size, each on every worker where it is available if there is one. */
export function evaluate(request: RouteRequest, around: Surroundings): Placements<Evaluation>[] {
  return around.manifests
    .filter(({ id }) => (request.tier === AUTO ? (request.eligible?.includes(id) ?? true) : request.tier === id))
    .map((manifest) => around.ledgers.map((_, worker) => evaluatePlacement(request, manifest, worker, around)))
    .map((placements) => (placements.some(({ available }) => available) ? placements.filter(({ available }) => available) : placements))
    .filter((placements): placements is [Evaluation, ...Evaluation[]] => placements.length > 0);
}

function evaluatePlacement(request: RouteRequest, { id: tier, trunk }: Manifest, worker: number, around: Surroundings): Evaluation {
  const { nowMs, model, ledgers } = around;
  const ledger = ledgers[worker] as WorkerLedger;
  const placement = { tier, worker };
  const cachedPatches = request.cachedPatches?.[tier]?.[worker] ?? 0;
  const costs = tierModel(model, tier);
  const rows = rowsOf(request.sharesRuns, request.generations, costs);
  const sets = request.generations / rows;
  const work = { ...request, promptPatches: request.promptPatches[tier] as number, cachedPatches, rows };
  const alone = predictCompute(model, placement, work, 0);
  const others = othersBusy(ledgers, worker, nowMs, request.generations * alone.prefillMs + sets * alone.decodeMs);
  const compute = predictCompute(model, placement, work, others);
  const tail = margin(model, tier);
  const extra = overhead(model);

  const deadlineAtMs = request.arrivalMs + request.budgetMs;
  const elapsedMs = nowMs - request.arrivalMs;
  const prefillMs = request.generations * compute.prefillMs;
  const queued = wait(ledger, nowMs, deadlineAtMs);
  const ownDecodeMs = sets * compute.decodeMs;
  const ownMs = prefillMs + ownDecodeMs;
  const ahead = request.sharesRuns ? ledger.bookings.filter((booking) => booking.deadlineAtMs <= deadlineAtMs) : [];
  const company = companyIn(ahead, tier, costs, { decodeMs: ownDecodeMs, rows, endMs: nowMs + queued.worstMs + ownMs });
  const decodeMs = company.share * ownDecodeMs;
  const workMs = prefillMs + decodeMs;
  const usualMs = prefillMs + company.share * sets * compute.usualDecodeMs;
  const warm = around.isWarm(placement);
  // A load under way already stands in the ledger, as time the worker is blocked.
  const loadMs = warm || around.isLoading(placement) ? 0 : costs.loadMs;

  const reach = (beforeMs: number, idleShareMs: number): Reach => {
    const leftMs = request.budgetMs - elapsedMs - extra.p95Ms - beforeMs;
    const firstLeftMs = (request.firstByteBudgetMs ?? request.budgetMs) - elapsedMs - extra.p95Ms - beforeMs;
    if (prefillMs * tail > Math.min(leftMs, firstLeftMs)) return 'late';
    if (workMs * tail <= leftMs) return 'fits';
    return leftMs - prefillMs >= LEAST_SHARE * Math.min(workMs - prefillMs, idleShareMs) ? 'truncates' : 'late';
  };
  const idleLeftMs = Math.max(0, request.budgetMs - elapsedMs - extra.p95Ms - prefillMs);
  const beforeMs = queued.worstMs + loadMs * LOAD_MARGIN;
  const now = ledger.bookings.length < around.maxBookings ? reach(beforeMs, idleLeftMs) : 'late';
  const textMs = Math.min(ownMs, Math.max(prefillMs, request.budgetMs - elapsedMs - beforeMs));

  const coming = interruption(around.traffic, ledgers.length, nowMs, queued.expectedMs + loadMs + usualMs, request.budgetMs - elapsedMs);
  const expectedMs = elapsedMs + queued.expectedMs + loadMs + usualMs + coming.medianMs + extra.expectedMs;
  const soonestP95Ms = elapsedMs + beforeMs + workMs * tail + extra.p95Ms;

  return {
    tier,
    worker,
    available: around.isAvailable(placement),
    warm,
    reach: { now, warm: reach(queued.worstMs, idleLeftMs), idle: reach(0, idleLeftMs) },
    crowds: now !== 'late' && crowds(ledger, nowMs, { deadlineAtMs, workMs: workMs * tail, loadMs }),
    affordable: request.tier !== AUTO || affords(around.headroom, workMs),
    waitMs: queued.expectedMs,
    loadMs,
    prefillMs,
    decodeMs,
    expectedMs,
    predictedMs: cautious(caution(model, tier), expectedMs, soonestP95Ms + coming.medianMs + DEVIATIONS * coming.deviationMs),
    predictedFirstByteMs: elapsedMs + beforeMs + prefillMs * tail + extra.p95Ms,
    plannedBytes: compute.plannedBytes,
    workMs,
    runMs: Math.max(company.stretch * compute.stepMs, compute.prefillMs * Math.min(1, chunkPatches(trunk) / compute.readPatches)),
    promisedMs: now === 'fits' ? ownMs : prefillMs + LEAST_SHARE * (textMs - prefillMs),
    cheapestMs: elapsedMs + prefillMs * tail + extra.p95Ms,
    excessMs: Math.max(0, soonestP95Ms - request.budgetMs),
    backlogMs: backlogMs(ledger, nowMs),
  };
}

/**
 * How many other workers will compute beside this one, on average over the time its work takes: while they have work booked they do;
 * then they are idle, and come back, the longer the likelier, to how busy they were of late.
 */
export function othersBusy(ledgers: readonly WorkerLedger[], worker: number, nowMs: number, workMs: number): number {
  return ledgers
    .filter((_, index) => index !== worker)
    .reduce((busy, ledger) => {
      const booked = Math.min(1, backlogMs(ledger, nowMs) / Math.max(workMs, 1));
      return busy + booked + (1 - booked) * ledger.utilisation * returned((1 - booked) * workMs);
    }, 0);
}

/** Mean over so many milliseconds of 1 - exp(-t / RETURN_MS). */
function returned(spanMs: number): number {
  const spans = spanMs / RETURN_MS;
  return spans < 1e-3 ? 0 : 1 + Math.expm1(-spans) / spans;
}
