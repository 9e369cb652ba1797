/** `npm start`: the server on Node, as its configuration has it. */
import { run } from '../cli/run.js';
import { serveCommand } from '../cli/serve.js';
import { serveUntilStopped } from './serve.js';

await run(serveCommand(serveUntilStopped).name('npm start --'));
