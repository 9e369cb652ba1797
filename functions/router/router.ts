/**
 * Routes requests: evaluates every tier, chooses, books the work, and learns from how it went. The decisions are pure functions of
 * what is held here (the latency model and a ledger per worker); this file is their state and their clock.
 */
import type { Engine, Placement } from '../engine/types.js';
import { advance, block, book, drainRate, idleLedger, reestimate, release, unblock, type WorkerLedger } from './admit.js';
import { calibrationProbes } from './calibrate.js';
import { choose, verdict, bestPlacement, type Choice, type Placements } from './choose.js';
import { evaluate, type Evaluation, othersBusy, type Surroundings } from './evaluate.js';
import { accrue, fullHeadroom, pay } from './headroom.js';
import { learnCompute, learnLoad, learnOverhead, type LatencyModel, overhead, predictCompute, seedModel, tierModel } from './predict.js';
import { AUTO, type Decision, type Outcome, type Refusal, type Router, type RouteRequest, type TierForecast } from './types.js';

export interface RouterLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface RouterDependencies {
  readonly engine: Pick<Engine, 'manifests' | 'workers' | 'status' | 'isWarm' | 'load' | 'generate'>;
  /** Now, on the clock of `RouteRequest.arrivalMs`. */
  readonly nowMs: () => number;
  readonly log: RouterLog;
  /** Generations a worker may hold at once; each keeps its KV cache in memory. */
  readonly maxBookings?: number;
}

const DEFAULT_MAX_BOOKINGS = 64;
/** A load that failed is not tried again sooner than this. */
const LOAD_RETRY_MS = 5_000;
const LEAST_RETRY_MS = 10;
const MOST_RETRY_MS = 30_000;
/** The longest that handing over a finished text is held against the server; beyond it the client reads slowly. */
const MOST_OVERHEAD_MS = 10;

/** What is remembered of an admitted request until its last generation has been observed. */
interface Admission {
  readonly request: RouteRequest;
  readonly decision: Decision;
  readonly bookedMs: number;
  readonly admittedAtMs: number;
  /** Each worker's `busyMs` at admission. */
  readonly busyMs: readonly number[];
  readonly bytes: number;
  readonly generationsLeft: number;
}

export function createRouter({ engine, nowMs, log, maxBookings = DEFAULT_MAX_BOOKINGS }: RouterDependencies): Router {
  let model: LatencyModel = seedModel(engine.manifests, engine.workers);
  let ledgers: readonly WorkerLedger[] = Array.from({ length: engine.workers }, () => idleLedger(nowMs()));
  let headroom = fullHeadroom(engine.workers, nowMs());
  let lastTicket = 0;
  const admissions = new Map<number, Admission>();
  const loads = new Map<string, Promise<void>>();
  /** Placements that a request would have wanted warm. */
  const wanted = new Map<string, Placement>();
  const loadFailedAtMs = new Map<string, number>();

  const setLedger = (worker: number, change: (ledger: WorkerLedger) => WorkerLedger): void => {
    ledgers = ledgers.map((ledger, index) => (index === worker ? change(ledger) : ledger));
  };

  function surroundings(): Surroundings {
    const now = nowMs();
    ledgers = ledgers.map((ledger) => advance(ledger, now));
    headroom = accrue(headroom, engine.workers, now);
    const quarantined = new Set(engine.status().filter(({ state }) => state === 'quarantined').map(({ id }) => id));
    return {
      nowMs: now,
      manifests: engine.manifests,
      model,
      ledgers,
      isAvailable: (tier) => !quarantined.has(tier),
      isWarm: (placement) => engine.isWarm(placement),
      isLoading: (placement) => loads.has(key(placement)),
      maxBookings,
      headroom,
    };
  }

  function consider(request: RouteRequest): { tiers: Placements<Evaluation>[]; choice: Choice<Evaluation>; forecasts: TierForecast[] } {
    const tiers = evaluate(request, surroundings());
    return { tiers, choice: choose(tiers, request.tier !== AUTO), forecasts: tiers.map((placements) => forecast(bestPlacement(placements))) };
  }

  function refuse(kind: Refusal['kind'], tiers: readonly Placements<Evaluation>[], forecasts: readonly TierForecast[]): Refusal {
    const placements = tiers.flat().filter(({ available }) => available);
    switch (kind) {
      case 'unavailable':
        return { kind, tiers: forecasts };
      case 'infeasible':
        return { kind, cheapestMs: Math.ceil(Math.min(...placements.map(({ cheapestMs }) => cheapestMs))), tiers: forecasts };
      case 'overloaded':
        return { kind, retryAfterMs: retryAfterMs(placements.map(drainMs)), tiers: forecasts };
      case 'loading':
        return { kind, retryAfterMs: retryAfterMs(placements.map(({ waitMs, loadMs }) => waitMs + loadMs)), tiers: forecasts };
    }
  }

  /** How long until enough of what stands before it has left the worker, at the rate work has been leaving it. */
  function drainMs({ worker, excessMs, waitMs, crowds, workMs }: Evaluation): number {
    const inTheWayMs = Math.max(Math.min(excessMs, waitMs), crowds ? workMs : 0);
    return inTheWayMs / drainRate(ledgers[worker] as WorkerLedger);
  }

  function decide(request: RouteRequest, candidate: Evaluation, reason: Decision['reason'], tiers: readonly TierForecast[]): Decision {
    return {
      kind: 'admitted',
      ticket: lastTicket + 1,
      placement: { tier: candidate.tier, worker: candidate.worker },
      reason,
      expectedMs: Math.min(candidate.expectedMs, request.budgetMs),
      predictedMs: Math.min(candidate.predictedMs, request.budgetMs),
      predictedFirstByteMs: candidate.predictedFirstByteMs,
      deadlineAtMs: request.arrivalMs + request.budgetMs - overhead(model).p95Ms,
      tiers,
    };
  }

  function explain(request: RouteRequest): Decision | Refusal {
    const { tiers, choice, forecasts } = consider(request);
    return choice.kind === 'take' ? decide(request, choice.candidate, choice.reason, forecasts) : refuse(choice.kind, tiers, forecasts);
  }

  function route(request: RouteRequest): Decision | Refusal {
    const { tiers, choice, forecasts } = consider(request);
    if ('warm' in choice && choice.warm !== undefined) want(choice.warm);
    if (choice.kind !== 'take') {
      loadWanted();
      const refusal = refuse(choice.kind, tiers, forecasts);
      log.info({ request, refusal }, 'refused');
      return refusal;
    }
    const { candidate } = choice;
    const decision = decide(request, candidate, choice.reason, forecasts);
    lastTicket = decision.ticket;
    if (!candidate.warm) void load(decision.placement);
    setLedger(candidate.worker, (ledger) =>
      book(ledger, {
        ticket: decision.ticket,
        deadlineAtMs: request.arrivalMs + request.budgetMs,
        remainingMs: candidate.workMs,
        promisedMs: candidate.promisedMs,
        runMs: candidate.runMs,
      }),
    );
    headroom = pay(headroom, engine.workers, candidate.workMs);
    admissions.set(decision.ticket, {
      request,
      decision,
      bookedMs: candidate.workMs,
      admittedAtMs: nowMs(),
      busyMs: ledgers.map(({ busyMs }) => busyMs),
      bytes: 0,
      generationsLeft: request.generations,
    });
    loadWanted();
    log.info({ request, decision }, 'admitted');
    return decision;
  }

  function progress({ ticket, placement }: Decision, bytes: number): void {
    const admission = admissions.get(ticket);
    if (admission === undefined) return;
    const { request } = admission;
    const doneBytes = admission.bytes + bytes;
    admissions.set(ticket, { ...admission, bytes: doneBytes });
    const ahead = predictCompute(
      model,
      placement,
      {
        promptPatches: request.promptPatches,
        maxBytes: Math.max(0, request.maxBytes * request.generations - doneBytes),
        hasStop: request.hasStop,
      },
      othersBusy(ledgers, placement.worker, nowMs(), 1),
    );
    setLedger(placement.worker, (ledger) => reestimate(advance(ledger, nowMs()), ticket, ahead.decodeMs, ahead.stepMs));
  }

  function observe({ ticket, placement }: Decision, outcome: Outcome): void {
    const admission = admissions.get(ticket);
    if (admission === undefined) return;
    const now = nowMs();
    ledgers = ledgers.map((ledger) => advance(ledger, now));
    const { request, decision } = admission;
    const generationsLeft = admission.generationsLeft - 1;
    if (generationsLeft > 0) admissions.set(ticket, { ...admission, generationsLeft });
    else {
      admissions.delete(ticket);
      setLedger(placement.worker, (ledger) => release(ledger, ticket, admission.bookedMs));
      loadWanted();
    }
    const actualMs = now - request.arrivalMs;
    log.info({ id: request.id, ticket, ...placement, expectedMs: decision.expectedMs, actualMs, outcome }, 'observed');
    if (outcome.kind === 'failed' || outcome.result.stopCause === 'cancelled') return;
    const { result } = outcome;
    const { queueMs, loadMs, prefillMs, decodeMs } = result.timings;
    headroom = pay(headroom, engine.workers, prefillMs + decodeMs - admission.bookedMs / request.generations);
    model = learnCompute(model, { placement, hasStop: request.hasStop, othersBusy: othersBusySince(admission, now), result });
    if (request.generations === 1) {
      const overheadMs = actualMs - queueMs - loadMs - prefillMs - decodeMs;
      model = learnOverhead(model, Math.min(MOST_OVERHEAD_MS, Math.max(0, overheadMs)));
    }
  }

  function othersBusySince({ admittedAtMs, busyMs, decision }: Admission, now: number): number {
    const spanMs = Math.max(now - admittedAtMs, 1);
    return ledgers.reduce((sum, ledger, worker) => {
      if (worker === decision.placement.worker) return sum;
      return sum + Math.min(1, (ledger.busyMs - (busyMs[worker] ?? 0)) / spanMs);
    }, 0);
  }

  function want({ tier, worker }: Placement): void {
    const failedAtMs = loadFailedAtMs.get(key({ tier, worker }));
    if (failedAtMs === undefined || nowMs() - failedAtMs >= LOAD_RETRY_MS) wanted.set(key({ tier, worker }), { tier, worker });
  }

  /** A load stops its worker for as long as many requests have in all, so it waits until nothing is booked there. */
  function loadWanted(): void {
    for (const placement of wanted.values()) {
      if (ledgers[placement.worker]?.bookings.length === 0 && nowMs() >= (ledgers[placement.worker]?.loadingUntilMs ?? 0)) void load(placement);
    }
  }

  /** Single flight. Ends when the placement is warm and measured; a failure is logged, and the tier stays cold for a while. */
  function load(placement: Placement): Promise<void> {
    const under = loads.get(key(placement));
    if (under !== undefined) return under;
    setLedger(placement.worker, (ledger) => block(ledger, nowMs() + tierModel(model, placement.tier).loadMs));
    const flight = loadAndCalibrate(placement).catch((error: unknown) => {
      loadFailedAtMs.set(key(placement), nowMs());
      log.warn({ ...placement, error }, 'load failed');
    });
    loads.set(key(placement), flight);
    wanted.delete(key(placement));
    return flight;
  }

  async function loadAndCalibrate(placement: Placement): Promise<void> {
    try {
      const loadMs = await engine.load(placement);
      model = learnLoad(model, placement.tier, loadMs);
      log.info({ ...placement, loadMs }, 'loaded');
    } finally {
      loads.delete(key(placement));
      setLedger(placement.worker, (ledger) => unblock(ledger, nowMs()));
    }
    if (tierModel(model, placement.tier).measured) return;
    for await (const result of calibrationProbes(engine, placement)) {
      model = learnCompute(model, { placement, hasStop: false, othersBusy: 0, result });
    }
  }

  return { route, explain, progress, observe, warm: load };
}

function key({ tier, worker }: Placement): string {
  return `${tier}/${worker}`;
}

function retryAfterMs(waitsMs: readonly number[]): number {
  return Math.ceil(Math.min(MOST_RETRY_MS, Math.max(LEAST_RETRY_MS, Math.min(...waitsMs))));
}

function forecast(evaluation: Evaluation): TierForecast {
  const { tier, worker, warm, waitMs, loadMs, prefillMs, decodeMs, expectedMs, predictedMs, predictedFirstByteMs, plannedBytes } = evaluation;
  const times = { waitMs, loadMs, prefillMs, decodeMs, expectedMs, predictedMs, predictedFirstByteMs };
  return { tier, worker, warm, ...times, plannedBytes, verdict: verdict(evaluation) };
}
