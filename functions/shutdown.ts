import { once } from 'node:events';
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Drain } from './drain.js';
import type { Engine } from './engine/types.js';

/** Container platforms kill 30 s after asking; the last of it is for handing over what was cut, freeing the models and sending the last spans. */
const GRACE_MS = 27_000;
/** How long a client may take to read an answer that is ready. */
const HANDOVER_MS = 1_000;

export interface ShutDown {
  readonly drains: readonly Drain[];
  readonly server: Server;
  readonly engines: readonly Pick<Engine, 'close'>[];
  /** For how long it still serves after it has said, in `/readyz`, that it will not. */
  readonly drainDelayMs: number;
}

/** Says that it leaves, refuses new work, finishes what is in flight, cutting it short when it takes too long, and frees everything. */
export async function shutDown({ drains, server, engines, drainDelayMs }: ShutDown): Promise<void> {
  const cut = setTimeout(() => drains.forEach((drain) => drain.cut()), GRACE_MS);
  for (const drain of drains) drain.announce();
  await sleep(drainDelayMs);
  await Promise.all(drains.map((drain) => drain.start()));
  clearTimeout(cut);
  const hangUp = setTimeout(() => server.closeAllConnections(), HANDOVER_MS);
  server.close();
  await once(server, 'close');
  clearTimeout(hangUp);
  await Promise.all(engines.map((engine) => engine.close()));
}
