/**
 * A replica of one worker in virtual time. What it admits, and to which tier, is decided by the router's own ledger, headroom and policy;
 * only how long a tier takes comes from measured service times instead of the latency model. Its worker serves the earliest deadline
 * first and ends every text at its deadline.
 */
import { advance, backlogMs, book, crowds, idleLedger, release, wait, type WorkerLedger } from '../../../functions/router/admit.js';
import { bestPlacement, type Candidate, choose, type Placements, type Reach } from '../../../functions/router/choose.js';
import { accrue, affords, fullHeadroom, type Headroom, pay } from '../../../functions/router/headroom.js';
import { budgetFirst } from '../../../functions/router/policy.js';
import { slack } from '../../../functions/router/slack.js';
import type { TraceRequest } from '../../load/trace.js';
import { serviceMs, type ServiceTime } from '../service-times.js';

export interface Job {
  readonly ticket: number;
  readonly deadlineMs: number;
  readonly textBytes: number;
  /** True compute it takes, and how much of that is still to be done. */
  readonly workMs: number;
  leftMs: number;
  readonly bookedMs: number;
  /** For whoever sent it. */
  readonly onEnd: (end: { readonly atMs: number; readonly bytes: number }) => void;
}

export interface Offer {
  readonly request: Pick<TraceRequest, 'promptBytes' | 'maxTokens' | 'budgetMs'>;
  readonly arrivalMs: number;
  /** What the work truly takes, as a multiple of what is expected. */
  readonly surprise: number;
  readonly onEnd: Job['onEnd'];
}

/** As the router's tail of predictions, for service times that scatter as these do. */
const TAIL = 1.3;
const LEAST_SHARE = 0.5;
const ROUNDING = 1e-6;
/** A run is a patch: the share of a text's work that nothing interrupts. */
const RUN_SHARE = 0.05;

export class Replica {
  /** Served so far, and compute spent on it. */
  busyMs = 0;
  inFlight = 0;
  readonly #times: readonly ServiceTime[];
  #ledger: WorkerLedger;
  #headroom: Headroom;
  /** Earliest deadline first. */
  #jobs: Job[] = [];
  #nowMs: number;
  #tickets = 0;

  constructor(times: readonly ServiceTime[], nowMs: number) {
    this.#times = times;
    this.#ledger = idleLedger(nowMs);
    this.#headroom = fullHeadroom(1, nowMs);
    this.#nowMs = nowMs;
  }

  /** What its agent says. */
  slack(nowMs: number): number {
    this.runUntil(nowMs);
    return slack([this.#ledger], nowMs);
  }

  /** When the worker next ends a text, if nothing comes. */
  get nextEndMs(): number {
    const [first] = this.#jobs;
    return first === undefined ? Infinity : endMs(first, this.#nowMs);
  }

  runUntil(untilMs: number): void {
    for (let [first] = this.#jobs; first !== undefined; [first] = this.#jobs) {
      const end = endMs(first, this.#nowMs);
      const workedMs = Math.max(0, Math.min(end, untilMs) - this.#nowMs);
      first.leftMs -= workedMs;
      this.busyMs += workedMs;
      this.#nowMs += workedMs;
      if (end > untilMs) break;
      this.#end(first);
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
    this.#ledger = advance(this.#ledger, this.#nowMs);
    this.#headroom = accrue(this.#headroom, 1, this.#nowMs);
  }

  /** The index of the tier that runs it, or why none does. */
  take({ request, arrivalMs, surprise, onEnd }: Offer, nowMs: number): number | 'infeasible' | 'overloaded' {
    this.runUntil(nowMs);
    const deadlineMs = arrivalMs + request.budgetMs;
    const expected = this.#times.map((time) => {
      const promptPatches = Math.min(time.contextPatches, 1 + request.promptBytes / time.bytesPerPatch);
      return { readMs: serviceMs(time, { promptPatches, maxTokens: 0 }), workMs: serviceMs(time, { promptPatches, maxTokens: request.maxTokens }) };
    });
    const tiers = expected.map((work, size): Placements<Candidate> => [this.#candidate(size, work, deadlineMs)]);
    const choice = choose(tiers, budgetFirst);
    if (choice.kind !== 'take') return choice.kind === 'infeasible' ? choice.kind : 'overloaded';
    const size = tiers.findIndex((placements) => bestPlacement(placements) === choice.candidate);
    const bookedMs = expected[size]!.workMs;
    const workMs = bookedMs * surprise;
    const job: Job = { ticket: (this.#tickets += 1), deadlineMs, textBytes: request.maxTokens, workMs, leftMs: workMs, bookedMs, onEnd };
    const promisedMs = choice.candidate.reach.now === 'fits' ? bookedMs : LEAST_SHARE * Math.min(bookedMs, deadlineMs - nowMs);
    this.#ledger = book(this.#ledger, { ticket: job.ticket, deadlineAtMs: deadlineMs, remainingMs: bookedMs, promisedMs, runMs: RUN_SHARE * bookedMs, sharedTier: undefined });
    this.#headroom = pay(this.#headroom, 1, bookedMs);
    const later = this.#jobs.findIndex((other) => other.deadlineMs > deadlineMs);
    this.#jobs.splice(later < 0 ? this.#jobs.length : later, 0, job);
    this.inFlight += 1;
    return size;
  }

  #candidate(size: number, { readMs, workMs }: { readonly readMs: number; readonly workMs: number }, deadlineMs: number): Candidate {
    const nowMs = this.#nowMs;
    const { expectedMs, worstMs } = wait(this.#ledger, nowMs, deadlineMs);
    const reach = (beforeMs: number): Reach => {
      const leftMs = deadlineMs - nowMs - beforeMs;
      if (readMs * TAIL > leftMs) return 'late';
      if (workMs * TAIL <= leftMs) return 'fits';
      return leftMs - readMs >= LEAST_SHARE * (Math.min(workMs, deadlineMs - nowMs) - readMs) ? 'truncates' : 'late';
    };
    return {
      tier: this.#times[size]!.tier,
      worker: 0,
      available: true,
      warm: true,
      reach: { now: reach(worstMs), warm: reach(worstMs), idle: reach(0) },
      crowds: crowds(this.#ledger, nowMs, { deadlineAtMs: deadlineMs, workMs: workMs * TAIL, loadMs: 0 }),
      affordable: affords(this.#headroom, workMs),
      predictedMs: expectedMs + workMs,
      backlogMs: backlogMs(this.#ledger, nowMs),
    };
  }

  #end(job: Job): void {
    this.#jobs.shift();
    this.inFlight -= 1;
    this.#ledger = release(advance(this.#ledger, this.#nowMs), job.ticket, job.bookedMs);
    this.#headroom = pay(this.#headroom, 1, job.workMs - job.leftMs - job.bookedMs);
    job.onEnd({ atMs: this.#nowMs, bytes: Math.floor(job.textBytes * (1 - job.leftMs / job.workMs) + ROUNDING) });
  }
}

function endMs({ leftMs, deadlineMs }: Job, nowMs: number): number {
  return Math.max(nowMs, Math.min(nowMs + leftMs, deadlineMs));
}
