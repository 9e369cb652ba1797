/**
 * Entry of a worker thread: serves the main thread until it says `close`.
 *
 * @module
 */
import { constants, getPriority, platform, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import type { ToWorker } from './messages.js';
import { ModelThread } from './model-thread.js';
import { bestRuntime } from './open-session.js';
import { Outbox } from './outbox.js';

if (parentPort === null) throw new Error('engine/worker.js runs as a worker thread only');
const port = parentPort;
const outbox = new Outbox((message) => port.postMessage(message));
const { runtime } = await bestRuntime();

// Once it is up, so that a start on a busy machine takes no longer, and before the runtime makes threads of its own, which inherit it.
// Linux gives each thread a priority of its own. The main thread, which routes, refuses and sends, takes a fraction of a millisecond at
// a time and must not queue for it behind runs: at 100 requests/s on two shared cores it waited 0.4 to 1.7 ms for each, and 0.2 so.
if (platform() === 'linux') setPriority(Math.max(getPriority(), constants.priority.PRIORITY_BELOW_NORMAL));

const thread = new ModelThread(runtime, (message) => outbox.send(message));
port.on('message', (message: ToWorker) => {
  thread.obey(message);
  // Without the port nothing keeps the thread alive once its last run is over.
  if (message.kind === 'close') port.close();
});
