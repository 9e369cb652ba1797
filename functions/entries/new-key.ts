/** `npm run key -- NAME` */
import { keyCommand } from '../cli/key.js';
import { run } from '../cli/run.js';

await run(keyCommand().name('npm run key --'));
