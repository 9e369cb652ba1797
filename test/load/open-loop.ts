/** Sends what is due when it is due, whatever has become of what was sent before: no slowness of the server hides another. */
import { setTimeout as sleep } from 'node:timers/promises';

/** @param arrivals ascending. Resolves to all results, in order of arrival, when the last is there. */
export async function openLoop<A extends { readonly atMs: number }, T>(arrivals: readonly A[], send: (arrival: A, index: number) => Promise<T>): Promise<T[]> {
  const startMs = performance.now();
  const answers: Promise<T>[] = [];
  for (const [index, arrival] of arrivals.entries()) {
    const earlyMs = startMs + arrival.atMs - performance.now();
    // A timer is late by up to a millisecond and more; arrivals that are overdue go out at once.
    if (earlyMs > 0) await sleep(earlyMs);
    answers.push(send(arrival, index));
  }
  return Promise.all(answers);
}
