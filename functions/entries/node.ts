/**
 * `npm start`: what must come first, so that the rest is sooner there. A model's thread takes as long to come up as the server's code,
 * and V8's compile cache, where Node has one (22.8 and newer), holds what is compiled after it is switched on.
 */
import module from 'node:module';
import { endThread, startThread } from '../engine/thread.js';
import { WORKER_URL } from './worker-url.js';

if (process.argv.length > 2) {
  // What reads options takes 20 ms to load, and a cold start has none.
  const [{ run }, { serveCommand }, { serveUntilStopped }] = await Promise.all([import('../cli/run.js'), import('../cli/serve.js'), import('./serve.js')]);
  await run(serveCommand(serveUntilStopped).name('npm start --'));
} else {
  const firstThread = startThread(WORKER_URL);
  const compileCache = module as typeof module & { enableCompileCache?: () => void; flushCompileCache?: () => void };
  compileCache.enableCompileCache?.();
  const [{ serveConfigured }, { fail }, { serveUntilStopped }] = await Promise.all([import('../cli/configuration.js'), import('../cli/fail.js'), import('./serve.js')]);
  await serveConfigured({}, (config) => serveUntilStopped(config, firstThread)).catch(async (error: unknown) => {
    await endThread(firstThread);
    fail(error);
    // Whatever else may hold the process: nothing is served, and a supervisor waits to try again.
    process.exit();
  });
  // Left to itself it is written when the process ends by itself, which a server that is killed does not.
  compileCache.flushCompileCache?.();
}
