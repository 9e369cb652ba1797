/**
 * Which job a worker runs next: the one whose deadline comes first. Preemptive at the grain of one run, this is the order that
 * meets every deadline whenever any order can (Liu and Layland, 1973).
 *
 * @module
 */

import { setImmediate as nextTurn } from 'node:timers/promises';

export interface Job {
  /** Infinity: whenever nothing else is waiting. */
  readonly deadlineMs: number;
  /** One run. Resolves to whether there is more to do. */
  run(): Promise<boolean>;
}

export class EarliestDeadlineFirst {
  /** In order of their last run: of equal deadlines, the job that has waited longest goes first. */
  readonly #jobs = new Set<Job>();
  #running = false;

  /** Adds a job, and runs jobs until none is left. */
  add(job: Job): void {
    this.#jobs.add(job);
    if (!this.#running) void this.#drain();
  }

  remove(job: Job): void {
    this.#jobs.delete(job);
  }

  async #drain(): Promise<void> {
    this.#running = true;
    // Messages that arrived together are all weighed before the first run.
    await nextTurn();
    for (let job = this.#earliest(); job !== undefined; job = this.#earliest()) {
      const more = await job.run();
      if (this.#jobs.delete(job) && more) this.#jobs.add(job);
    }
    this.#running = false;
  }

  #earliest(): Job | undefined {
    let earliest: Job | undefined;
    for (const job of this.#jobs) {
      if (earliest === undefined || job.deadlineMs < earliest.deadlineMs) earliest = job;
    }
    return earliest;
  }
}
