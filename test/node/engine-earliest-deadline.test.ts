import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { EarliestDeadlineFirst, type Job } from '../../functions/engine/earliest-deadline.js';

interface TestJob extends Job {
  deadlineMs: number;
  /** Resolves to whether there is more to do. */
  run(): boolean;
}

/** A job of some runs that writes its name at each. */
function job(name: string, deadlineMs: number, runs: number, log: string[], during: (run: number) => void = () => {}): TestJob {
  let run = 0;
  return {
    deadlineMs,
    run: () => {
      log.push(name);
      during(run);
      run += 1;
      return run < runs;
    },
  };
}

/** Serves the first `together` jobs at once. */
function queueOf(together = 1): EarliestDeadlineFirst<TestJob> {
  const queue = new EarliestDeadlineFirst<TestJob>(async (jobs) => {
    const served = jobs.slice(0, together);
    for (const each of served) if (!each.run()) queue.remove(each);
    return served;
  });
  return queue;
}

/** The jobs wait for nothing, so a turn of the event loop later all are done. */
const drained = () => sleep(1);

describe('earliest deadline first', () => {
  test('a tighter job that comes later takes the next run', async () => {
    const log: string[] = [];
    const queue = queueOf();
    const tight = job('tight', 10, 2, log);
    queue.add(job('wide', 100, 4, log, (run) => { if (run === 1) queue.add(tight); }));
    await drained();
    expect(log.join(' ')).toBe('wide wide tight tight wide wide');
  });

  test('equal deadlines take turns', async () => {
    const log: string[] = [];
    const queue = queueOf();
    queue.add(job('a', Infinity, 3, log, (run) => {
      if (run === 0) for (const name of ['b', 'c']) queue.add(job(name, Infinity, 2, log));
    }));
    await drained();
    expect(log.join('')).toBe('abcabca');
  });

  test('of two jobs that come together the tighter runs first', async () => {
    const log: string[] = [];
    const queue = queueOf();
    queue.add(job('wide', 100, 1, log));
    queue.add(job('tight', 10, 1, log));
    await drained();
    expect(log).toEqual(['tight', 'wide']);
  });

  test('a job removed before or within a run does not run again', async () => {
    const log: string[] = [];
    const queue = queueOf();
    const later = job('later', 20, 3, log);
    const first: TestJob = job('first', 10, 3, log, () => {
      queue.remove(first);
      queue.remove(later);
    });
    queue.add(first);
    queue.add(later);
    await drained();
    expect(log).toEqual(['first']);
  });

  test('a deadline that moves forward counts at the next run', async () => {
    const log: string[] = [];
    const queue = queueOf();
    const load = job('load', Infinity, 1, log);
    queue.add(job('text', 100, 3, log, (run) => { if (run === 0) load.deadlineMs = 50; }));
    queue.add(load);
    await drained();
    expect(log.join(' ')).toBe('text load text text');
  });

  test('all jobs of a shared run go behind those that have waited', async () => {
    const log: string[] = [];
    const queue = queueOf(2);
    for (const name of ['a', 'b', 'c']) queue.add(job(name, Infinity, 2, log));
    await drained();
    expect(log.join('')).toBe('abcabc');
  });

  test('goes on after it has been idle', async () => {
    const log: string[] = [];
    const queue = queueOf();
    queue.add(job('one', 1, 1, log));
    await drained();
    queue.add(job('two', 1, 1, log));
    await drained();
    expect(log).toEqual(['one', 'two']);
  });
});
