/**
 * `npm start`: what must come first, so that the rest is sooner there. A model's thread takes as long to come up as the server's code,
 * and V8's compile cache, where Node has one (22.8 and newer), holds what is compiled after it is switched on.
 */
import module from 'node:module';
import { endThread, startThread } from '../engine/thread.js';
import { WORKER_URL } from './worker-url.js';

const firstThread = startThread(WORKER_URL);
const compileCache = module as typeof module & { enableCompileCache?: () => void; flushCompileCache?: () => void };
compileCache.enableCompileCache?.();
const { start, refuse } = await import('./server.js');
await start(firstThread).catch(async (error: Error) => {
  await endThread(firstThread);
  refuse(error);
});
// Left to itself it is written when the process ends by itself, which a server that is killed does not.
compileCache.flushCompileCache?.();
