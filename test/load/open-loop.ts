/**
 * Poisson arrivals that do not wait for answers, as independent clients do: a slow server gets no relief, and no latency is hidden.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export interface OpenLoop {
  readonly perSecond: number;
  readonly durationMs: number;
  readonly mostRequests: number;
  readonly random: () => number;
}

/** Calls `send` once an arrival; resolves to all results, in order of arrival, when the last is there. */
export async function openLoop<T>({ perSecond, durationMs, mostRequests, random }: OpenLoop, send: () => Promise<T>): Promise<T[]> {
  const startMs = performance.now();
  const answers: Promise<T>[] = [];
  for (let dueMs = 0; answers.length < mostRequests; ) {
    dueMs += (-Math.log(1 - random()) / perSecond) * 1_000;
    if (dueMs > durationMs) break;
    const earlyMs = startMs + dueMs - performance.now();
    // A timer is late by up to a millisecond and more; arrivals that are overdue go out at once.
    if (earlyMs > 0) await sleep(earlyMs);
    answers.push(send());
  }
  return Promise.all(answers);
}
