/** Clients that each send the next request when the last is answered: as many at once as clients, so the server is never idle. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface ClosedLoop {
  readonly clients: number;
  readonly durationMs: number;
}

/** @param send resolves to how long this client stays away before its next request. */
export async function closedLoop({ clients, durationMs }: ClosedLoop, send: () => Promise<number>): Promise<void> {
  const endMs = performance.now() + durationMs;
  const one = async () => {
    while (performance.now() < endMs) {
      const pauseMs = await send();
      if (pauseMs > 0) await sleep(Math.min(pauseMs, Math.max(0, endMs - performance.now())));
    }
  };
  await Promise.all(Array.from({ length: clients }, one));
}
