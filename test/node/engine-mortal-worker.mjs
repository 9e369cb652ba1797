/** The real worker, and a way to kill it: a generation with the seed 666 throws where nothing catches it. */
import { parentPort } from 'node:worker_threads';

await import('../../dist/functions/engine/worker.js');

parentPort?.on('message', (message) => {
  if (message.kind === 'generate' && message.options.seed === 666) throw new Error('killed by the test');
});
