/**
 * Routes requests: evaluates every tier, chooses, books the work, and learns from how it went. The decisions are pure functions of
 * what is held here (the latency model and a ledger per worker); this file is their state and their clock.
 */
import type { Engine, Placement } from '../engine/types.js';
import type { LogRecord } from '../schema/decision-log.js';
import { advance, block, book, drainRate, idleLedger, lastEndMs, reestimate, release, unblock, type WorkerLedger } from './admit.js';
import { choose, verdict, bestPlacement, type Choice, type Placements } from './choose.js';
import { evaluate, type Evaluation, othersBusy, type Surroundings } from './evaluate.js';
import { companyIn, rowsOf } from './company.js';
import { accrue, fullHeadroom, pay } from './headroom.js';
import { policyNamed, qualityFirst } from './policy.js';
import { forgetLevel, learnBetween, learnCompute, learnLoad, learnOverhead, learnPromise, type LatencyModel, overhead, predictCompute, seedModel, tierModel } from './predict.js';
import { decisionRecord, outcomeRecord } from './record.js';
import { slack } from './slack.js';
import { arrive, noTraffic } from './traffic.js';
import { AUTO, type Decision, type Outcome, type Refusal, type Router, type RouterLog, type RouteRequest, type TierForecast } from './types.js';
import { Warming } from './warming.js';

export interface RouterDependencies {
  readonly engine: Pick<Engine, 'manifests' | 'workers' | 'status' | 'isWarm' | 'hasRoom' | 'load' | 'widen' | 'generate'>;
  /** Now, on the clock of `RouteRequest.arrivalMs`. */
  readonly nowMs: () => number;
  readonly log: RouterLog;
  /** Gets a record of every decision and of every outcome. */
  readonly record?: (record: LogRecord) => void;
  /** The name of the policy for requests whose tier is open; see `policy.ts`. */
  readonly policy?: string;
  /** Generations a worker may hold at once; each keeps its KV cache in memory. */
  readonly maxBookings?: number;
}

type Refused = Exclude<Choice<Evaluation>, { readonly kind: 'take' }>;

const DEFAULT_MAX_BOOKINGS = 64;
const DEFAULT_POLICY = 'budget-first';
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
  /** Nothing else was booked on its worker; later bookings have higher tickets. */
  readonly alone: boolean;
  /** Each worker's `busyMs` at admission. */
  readonly busyMs: readonly number[];
  readonly bytes: number;
  readonly patches: number;
  readonly generationsLeft: number;
}

/** @throws {RangeError} for a policy that there is not. */
export function createRouter({ engine, nowMs, log, record, policy = DEFAULT_POLICY, maxBookings = DEFAULT_MAX_BOOKINGS }: RouterDependencies): Router {
  const openTierPolicy = policyNamed(policy);
  if (openTierPolicy === undefined) throw new RangeError(`there is no policy ${policy}`);
  let model: LatencyModel = seedModel(engine.manifests, engine.workers);
  let ledgers: readonly WorkerLedger[] = Array.from({ length: engine.workers }, () => idleLedger(nowMs()));
  let headroom = fullHeadroom(engine.workers, nowMs());
  let traffic = noTraffic(nowMs());
  let lastTicket = 0;
  const admissions = new Map<number, Admission>();
  /** The last ticket of each worker. */
  const lastTickets = new Map<number, number>();
  const warming = new Warming({
    engine,
    nowMs,
    log,
    isIdle: (worker) => ledgers[worker]?.bookings.length === 0 && nowMs() >= (ledgers[worker]?.loadingUntilMs ?? 0),
    isMeasured: (tier) => tierModel(model, tier).measured,
    onStart: ({ worker }) => setLedger(worker, (ledger) => blockedByLoads(ledger, worker, nowMs())),
    onEnd: ({ tier, worker }, loadMs) => {
      setLedger(worker, (ledger) => unblock(ledger, nowMs()));
      if (loadMs !== undefined) model = learnLoad(model, tier, loadMs);
    },
    onWiden: ({ tier }) => {
      model = forgetLevel(model, tier);
    },
    onProbe: (placement, result) => {
      model = learnBetween(learnCompute(model, { placement, lengthClass: 'plain', othersBusy: 0, result }), result);
    },
  });

  const setLedger = (worker: number, change: (ledger: WorkerLedger) => WorkerLedger): void => {
    ledgers = ledgers.map((ledger, index) => (index === worker ? change(ledger) : ledger));
  };

  /** A load that has outlasted its prediction is believed to go on for as long again as it is late. */
  function blockedByLoads(ledger: WorkerLedger, worker: number, now: number): WorkerLedger {
    return warming.underWay(worker).reduce((blocked, { placement, startMs }) => {
      const predictedMs = startMs + tierModel(model, placement.tier).loadMs;
      return block(blocked, Math.max(predictedMs, now + (now - predictedMs)));
    }, ledger);
  }

  /** Time that a load took is no time in which booked work was drained. */
  function broughtUpTo(now: number, ledger: WorkerLedger, worker: number): WorkerLedger {
    return advance(blockedByLoads(ledger, worker, now), now);
  }

  function surroundings(): Surroundings {
    const now = nowMs();
    ledgers = ledgers.map((ledger, worker) => broughtUpTo(now, ledger, worker));
    headroom = accrue(headroom, engine.workers, now);
    const quarantined = new Set(engine.status().filter(({ state }) => state === 'quarantined').map(({ id }) => id));
    const loadable = new Set(engine.manifests.filter(({ id }) => engine.hasRoom(id)).map(({ id }) => id));
    const isHeld = (placement: Placement) => engine.isWarm(placement) || warming.isLoading(placement);
    return {
      nowMs: now,
      manifests: engine.manifests,
      model,
      ledgers,
      isAvailable: (placement) => !quarantined.has(placement.tier) && (loadable.has(placement.tier) || isHeld(placement)),
      isWarm: (placement) => engine.isWarm(placement),
      isLoading: (placement) => warming.isLoading(placement),
      maxBookings,
      headroom,
      traffic,
    };
  }

  interface Consideration {
    readonly around: Surroundings;
    readonly tiers: readonly Placements<Evaluation>[];
    readonly choice: Choice<Evaluation>;
    readonly forecasts: readonly TierForecast[];
  }

  function consider(request: RouteRequest): Consideration {
    const around = surroundings();
    const tiers = evaluate(request, around);
    // Whoever names a tier has chosen already.
    const choice = choose(tiers, request.tier === AUTO ? openTierPolicy! : qualityFirst);
    return { around, tiers, choice, forecasts: tiers.map((placements) => forecast(bestPlacement(placements), request.budgetMs)) };
  }

  /** Speaks only of what the request could be admitted to. */
  function refuse(choice: Refused, tiers: readonly TierForecast[]): Refusal {
    switch (choice.kind) {
      case 'unavailable':
        return { kind: choice.kind, tiers };
      case 'infeasible':
        return { kind: choice.kind, cheapestMs: Math.ceil(Math.min(...choice.usable.map(({ cheapestMs }) => cheapestMs))), tiers };
      case 'overloaded':
        return { kind: choice.kind, retryAfterMs: retryAfterMs(choice.usable.map(drainMs)), tiers };
      case 'loading':
        return { kind: choice.kind, retryAfterMs: retryAfterMs(choice.usable.map(({ waitMs, loadMs }) => waitMs + loadMs)), tiers };
    }
  }

  /** How long until enough of what stands before it has left the worker: loads take their time, work leaves at the rate it has been leaving. */
  function drainMs({ worker, excessMs, waitMs, crowds, workMs }: Evaluation): number {
    const ledger = ledgers[worker] as WorkerLedger;
    const inTheWayMs = Math.max(Math.min(excessMs, waitMs), crowds ? workMs : 0);
    const loadMs = Math.min(inTheWayMs, Math.max(0, ledger.loadingUntilMs - nowMs()));
    return loadMs + (inTheWayMs - loadMs) / drainRate(ledger);
  }

  function decide(request: RouteRequest, candidate: Evaluation, reason: Decision['reason'], tiers: readonly TierForecast[]): Decision {
    return {
      kind: 'admitted',
      ticket: lastTicket + 1,
      placement: { tier: candidate.tier, worker: candidate.worker },
      reason: request.tier === AUTO ? reason : 'pinned',
      expectedMs: Math.min(candidate.expectedMs, request.budgetMs),
      predictedMs: Math.min(candidate.predictedMs, request.budgetMs),
      predictedFirstByteMs: candidate.predictedFirstByteMs,
      deadlineAtMs: request.arrivalMs + request.budgetMs - overhead(model).p95Ms,
      tiers,
    };
  }

  function explain(request: RouteRequest): Decision | Refusal {
    const { choice, forecasts } = consider(request);
    return choice.kind === 'take' ? decide(request, choice.candidate, choice.reason, forecasts) : refuse(choice, forecasts);
  }

  function route(request: RouteRequest): Decision | Refusal {
    const { around, tiers, choice, forecasts } = consider(request);
    if ('warm' in choice && choice.warm !== undefined) warming.want({ tier: choice.warm.tier, worker: choice.warm.worker });
    if (choice.kind === 'infeasible') remeasure(choice.usable);
    if (choice.kind !== 'take') {
      warming.loadWanted();
      const refusal = refuse(choice, forecasts);
      record?.(decisionRecord({ request, around, tiers, policy, answer: refusal }));
      return refusal;
    }
    const { candidate } = choice;
    const decision = decide(request, candidate, choice.reason, forecasts);
    lastTicket = decision.ticket;
    if (!candidate.warm) void warming.load(decision.placement);
    setLedger(candidate.worker, (ledger) =>
      book(ledger, {
        ticket: decision.ticket,
        deadlineAtMs: request.arrivalMs + request.budgetMs,
        remainingMs: candidate.workMs,
        promisedMs: candidate.promisedMs,
        runMs: candidate.runMs,
        sharedTier: request.sharesRuns ? candidate.tier : undefined,
      }),
    );
    headroom = pay(headroom, engine.workers, candidate.workMs);
    traffic = arrive(traffic, nowMs(), request.budgetMs, candidate.workMs);
    lastTickets.set(candidate.worker, decision.ticket);
    admissions.set(decision.ticket, {
      request,
      decision,
      bookedMs: candidate.workMs,
      admittedAtMs: nowMs(),
      alone: request.generations === 1 && ledgers[candidate.worker]?.bookings.length === 1,
      busyMs: ledgers.map(({ busyMs }) => busyMs),
      bytes: 0,
      patches: 0,
      generationsLeft: request.generations,
    });
    warming.loadWanted();
    record?.(decisionRecord({ request, around, tiers, policy, answer: decision }));
    return decision;
  }

  function remeasure(evaluations: readonly Evaluation[]): void {
    const [soonest] = evaluations.filter(({ warm }) => warm).toSorted((a, b) => a.cheapestMs - b.cheapestMs);
    if (soonest !== undefined) warming.remeasure({ tier: soonest.tier, worker: soonest.worker });
  }

  function progress({ ticket, placement }: Decision, bytes: number): void {
    const admission = admissions.get(ticket);
    if (admission === undefined) return;
    const { request, generationsLeft } = admission;
    const { tier, worker } = placement;
    const costs = tierModel(model, tier);
    const rows = rowsOf(request.sharesRuns, generationsLeft, costs);
    const doneBytes = admission.bytes + bytes;
    const patches = admission.patches + 1;
    admissions.set(ticket, { ...admission, bytes: doneBytes, patches });
    const ahead = predictCompute(
      model,
      placement,
      {
        promptPatches: request.promptPatches[tier] as number,
        decodedPatches: patches / request.generations,
        maxBytes: Math.max(0, request.maxBytes - doneBytes / request.generations),
        ...(request.maxWords !== undefined && { maxWords: Math.max(0, request.maxWords - patches / request.generations) }),
        rows,
        ...(request.endsWithContext === true && { endsWithContext: true }),
        lengthClass: request.lengthClass,
      },
      othersBusy(ledgers, worker, nowMs(), 1),
    );
    // What is left is all decoding, its first patch too.
    const decodeMs = (generationsLeft / rows) * ahead.decodeMs + ahead.stepMs;
    setLedger(worker, (before) => {
      const ledger = broughtUpTo(nowMs(), before, worker);
      const own = ledger.bookings.findIndex((booking) => booking.ticket === ticket);
      const first = request.sharesRuns ? ledger.bookings.slice(0, own) : [];
      const company = companyIn(first, tier, costs, { decodeMs, rows, endMs: lastEndMs(ledger.bookings.slice(0, own), ledger.asOfMs) + decodeMs });
      return reestimate(ledger, ticket, company.share * decodeMs, company.stretch * ahead.stepMs);
    });
  }

  function observe({ ticket, placement }: Decision, outcome: Outcome): void {
    const admission = admissions.get(ticket);
    if (admission === undefined) return;
    const now = nowMs();
    ledgers = ledgers.map((ledger, worker) => broughtUpTo(now, ledger, worker));
    const { request, decision } = admission;
    headroom = pay(headroom, engine.workers, usedMs(admission, outcome) - admission.bookedMs / request.generations);
    const generationsLeft = admission.generationsLeft - 1;
    if (generationsLeft > 0) admissions.set(ticket, { ...admission, generationsLeft });
    else {
      admissions.delete(ticket);
      setLedger(placement.worker, (ledger) => release(ledger, ticket, admission.bookedMs));
      warming.loadWanted();
    }
    const othersBusy = othersBusySince(admission, now);
    record?.(outcomeRecord({ request, decision }, outcome, { nowMs: now, othersBusy }));
    if (outcome.kind === 'failed' || outcome.result.stopCause === 'cancelled') return;
    const { result } = outcome;
    const { queueMs, loadMs, prefillMs, decodeMs } = result.timings;
    model = learnCompute(model, { placement, lengthClass: request.lengthClass, othersBusy, result });
    if (admission.alone && lastTickets.get(placement.worker) === ticket) model = learnBetween(model, result);
    if (request.generations === 1) {
      model = learnPromise(model, placement.tier, now - request.arrivalMs > decision.predictedMs);
      const overheadMs = now - admission.admittedAtMs - queueMs - loadMs - prefillMs - decodeMs;
      model = learnOverhead(model, Math.min(MOST_OVERHEAD_MS, Math.max(0, overheadMs)));
    }
  }

  /** Its part of the runs of one generation that has ended; of one that did not say, its booking less what the ledger holds to be still undone. */
  function usedMs({ decision: { ticket, placement }, request, bookedMs, generationsLeft }: Admission, outcome: Outcome): number {
    if (outcome.kind === 'finished') return outcome.result.timings.prefillMs + outcome.result.timings.decodeMs / outcome.result.meanBatch;
    const undoneMs = ledgers[placement.worker]?.bookings.find((booking) => booking.ticket === ticket)?.remainingMs ?? 0;
    return Math.max(0, bookedMs / request.generations - undoneMs / generationsLeft);
  }

  function othersBusySince({ admittedAtMs, busyMs, decision }: Admission, now: number): number {
    const spanMs = Math.max(now - admittedAtMs, 1);
    return ledgers.reduce((sum, ledger, worker) => {
      if (worker === decision.placement.worker) return sum;
      return sum + Math.min(1, (ledger.busyMs - (busyMs[worker] ?? 0)) / spanMs);
    }, 0);
  }

  return {
    policy,
    route,
    explain,
    progress,
    observe,
    slack: () => slack(surroundings().ledgers, nowMs()),
    warm: (placement, when = 'now') => (when === 'now' ? warming.load(placement) : warming.loadWhenIdle(placement)),
    widen: (placement) => warming.widenWhenIdle(placement),
  };
}

function retryAfterMs(waitsMs: readonly number[]): number {
  return Math.ceil(Math.min(MOST_RETRY_MS, Math.max(LEAST_RETRY_MS, Math.min(...waitsMs))));
}

function forecast(evaluation: Evaluation, budgetMs: number): TierForecast {
  const { tier, worker, warm, waitMs, loadMs, prefillMs, decodeMs, predictedFirstByteMs, plannedBytes } = evaluation;
  // Others may overtake what fits, but only as long as it still ends inside its budget.
  const mostMs = evaluation.reach.now === 'fits' ? budgetMs : Infinity;
  const expectedMs = Math.min(evaluation.expectedMs, mostMs);
  const predictedMs = Math.min(evaluation.predictedMs, mostMs);
  const times = { waitMs, loadMs, prefillMs, decodeMs, expectedMs, predictedMs, predictedFirstByteMs };
  return { tier, worker, warm, ...times, plannedBytes, verdict: verdict(evaluation) };
}
