import { readdirSync, readFileSync } from 'node:fs';
import { constants, getPriority, platform } from 'node:os';
import { describe, expect, test } from 'vitest';
import { startServer } from '../server-process.js';

/** Of every thread of a process, as Linux counts it. */
function niceOfThreads(pid: number): Map<number, number> {
  const nice = (thread: string) => Number(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').split(') ')[1]!.split(' ')[16]);
  return new Map(readdirSync(`/proc/${pid}/task`).map((thread) => [Number(thread), nice(thread)]));
}

describe.runIf(platform() === 'linux')('the threads of the server', () => {
  test('that run models yield to the one that answers', async () => {
    const server = await startServer({ STLM_WORKERS: '2', LOG_LEVEL: 'silent' });
    try {
      const pid = server.process.pid!;
      const own = getPriority(process.pid);
      const yielding = () => [...niceOfThreads(pid).values()].filter((value) => value === Math.max(own, constants.priority.PRIORITY_BELOW_NORMAL));
      // The server is ready with its first worker; the other comes up after it.
      await expect.poll(() => yielding().length, { timeout: 10_000 }).toBeGreaterThanOrEqual(2);
      expect(niceOfThreads(pid).get(pid)).toBe(own);
    } finally {
      await server.stop();
    }
  });
});
