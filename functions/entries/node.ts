/** `npm start`: the server on Node, as its configuration has it. */
import { serveConfigured } from '../cli/configuration.js';
import { fail } from '../cli/fail.js';
import { serveUntilStopped } from './serve.js';

if (process.argv.length > 2) {
  // What reads options takes 20 ms to load, and a cold start has none.
  const [{ run }, { serveCommand }] = await Promise.all([import('../cli/run.js'), import('../cli/serve.js')]);
  await run(serveCommand(serveUntilStopped).name('npm start --'));
} else {
  await serveConfigured({}, serveUntilStopped).catch(fail);
}
