/**
 * What perfect knowledge could have done with a load. The idle oracle knows every tier's true time and has the server to itself for
 * each request. The capacity oracle knows all arrivals beforehand as well, but has only so many workers: it lets in as many requests as
 * it can, then spends what is left on larger tiers. Finding the best is a knapsack; this one is greedy by extra work, and its workers
 * may hand a text over at any moment, which real ones cannot.
 */
import { serviceMs, type ServiceTime, type Work } from './service-times.js';

export interface OracleRequest {
  readonly atMs: number;
  readonly budgetMs: number;
  /** By tier, as `ServiceTime`s are listed. */
  readonly work: readonly Work[];
}

/** The largest tier's index that finishes in time alone; -1 if none does. */
export function idleOracle(times: readonly ServiceTime[], { budgetMs, work }: OracleRequest): number {
  return times.findLastIndex((time, size) => serviceMs(time, work[size]!) <= budgetMs);
}

/** Of each request the tier's index; -1 for those that are not served. */
export function capacityOracle(times: readonly ServiceTime[], requests: readonly OracleRequest[], workers: number): number[] {
  const workMs = (index: number, size: number) => serviceMs(times[size]!, requests[index]!.work[size]!);
  const chosen = requests.map(() => -1);
  const schedule = new Schedule(requests, workers);
  for (let size = 0; size < times.length; size += 1) {
    const extraMs = (index: number) => workMs(index, size) - (size === 0 ? 0 : workMs(index, size - 1));
    const candidates = requests
      .map((_, index) => index)
      .filter((index) => chosen[index] === size - 1 && size <= idleOracle(times, requests[index]!))
      .toSorted((a, b) => extraMs(a) - extraMs(b));
    for (const index of candidates) if (schedule.tries(index, { workMs: workMs(index, size), sharing: times[size]!.sharing })) chosen[index] = size;
  }
  return chosen;
}

interface Task {
  /** Alone. */
  readonly workMs: number;
  /** How much longer with every worker busy. */
  readonly sharing: number;
}

interface Job {
  readonly deadlineMs: number;
  readonly sharing: number;
  leftMs: number;
}

/** Accepted work, all of which is done in time by workers that always turn to the earliest deadlines. */
class Schedule {
  readonly #requests: readonly OracleRequest[];
  readonly #workers: number;
  readonly #tasks: (Task | undefined)[];

  /** @param requests in order of arrival */
  constructor(requests: readonly OracleRequest[], workers: number) {
    this.#requests = requests;
    this.#workers = workers;
    this.#tasks = requests.map(() => undefined);
  }

  /** Gives a request this task, if every deadline is met all the same. */
  tries(index: number, task: Task): boolean {
    const before = this.#tasks[index];
    this.#tasks[index] = task;
    if (this.#isFeasible()) return true;
    this.#tasks[index] = before;
    return false;
  }

  #isFeasible(): boolean {
    const active: Job[] = [];
    let nowMs = 0;
    for (const [index, { atMs, budgetMs }] of this.#requests.entries()) {
      const task = this.#tasks[index];
      if (task === undefined) continue;
      if (!this.#work(active, nowMs, atMs)) return false;
      nowMs = atMs;
      const job = { deadlineMs: atMs + budgetMs, sharing: task.sharing, leftMs: task.workMs };
      const later = active.findIndex(({ deadlineMs }) => deadlineMs > job.deadlineMs);
      active.splice(later < 0 ? active.length : later, 0, job);
    }
    return this.#work(active, nowMs, Infinity);
  }

  /** Works on the earliest deadlines until then; whether each that ends is in time. One that waits too long shows when it ends. */
  #work(active: Job[], fromMs: number, untilMs: number): boolean {
    let nowMs = fromMs;
    while (active.length > 0 && nowMs < untilMs) {
      const running = active.slice(0, this.#workers);
      const company = this.#workers > 1 ? (running.length - 1) / (this.#workers - 1) : 0;
      const slowness = ({ sharing }: Job) => 1 + (sharing - 1) * company;
      const stepMs = Math.min(untilMs - nowMs, ...running.map((job) => job.leftMs * slowness(job)));
      nowMs += stepMs;
      for (const job of running) {
        job.leftMs -= stepMs / slowness(job);
        if (job.leftMs > 1e-9) continue;
        if (nowMs > job.deadlineMs + 1e-6) return false;
        active.splice(active.indexOf(job), 1);
      }
    }
    return true;
  }
}
