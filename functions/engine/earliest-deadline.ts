/**
 * In which order a worker serves its jobs: the one whose deadline comes first. Preemptive at the grain of one run, this is the order
 * that meets every deadline whenever any order can (Liu and Layland, 1973).
 *
 * @module
 */

import { setImmediate as nextTurn } from 'node:timers/promises';

export interface Job {
  /** Infinity: whenever nothing else is waiting. */
  readonly deadlineMs: number;
}

/** One run, for the first of the jobs, or for others as well or instead if it knows that nobody loses by it. Resolves to whom it was for. */
export type Serve<J extends Job> = (inOrder: readonly [J, ...J[]]) => Promise<readonly J[]>;

export class EarliestDeadlineFirst<J extends Job> {
  readonly #serve: Serve<J>;
  /** In order of their last run: of equal deadlines, the job that has waited longest goes first. */
  readonly #jobs = new Set<J>();
  #running = false;

  constructor(serve: Serve<J>) {
    this.#serve = serve;
  }

  /** Adds a job, and serves until none is left. */
  add(job: J): void {
    this.#jobs.add(job);
    if (!this.#running) void this.#drain();
  }

  /** It is done, or no longer wanted. */
  remove(job: J): void {
    this.#jobs.delete(job);
  }

  async #drain(): Promise<void> {
    this.#running = true;
    // Messages that arrived together are all weighed before the first run.
    await nextTurn();
    for (;;) {
      const [first, ...later] = [...this.#jobs].toSorted(byDeadline);
      if (first === undefined) break;
      const served = await this.#serve([first, ...later]);
      for (const job of served) if (this.#jobs.delete(job)) this.#jobs.add(job);
    }
    this.#running = false;
  }
}

/** Infinity less Infinity is no number. */
function byDeadline(a: Job, b: Job): number {
  return a.deadlineMs === b.deadlineMs ? 0 : a.deadlineMs - b.deadlineMs;
}
