import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { ToWorker } from './messages.js';

/** A thread's own objects live for a patch. Left to itself V8 lets 16 MiB of them and more gather before it looks: at 50M, 215 MiB are resident instead of 170. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 2 };

/** A worker thread of the engine. It comes up by itself, and waits to be told what to load. @param url the built `engine/worker.js` */
export function startThread(url: URL): Worker {
  return new Worker(url, { resourceLimits: RESOURCE_LIMITS });
}

/** Ends one, unless a pool took it over and has ended it, as a pool would: a process that exits while a thread is inside the native library may crash instead. */
export async function endThread(thread: Worker): Promise<void> {
  if (thread.threadId < 0) return;
  thread.postMessage({ kind: 'close' } satisfies ToWorker);
  await once(thread, 'exit');
}
