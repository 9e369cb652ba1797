/** `npm run dev:edge`: the Worker under `wrangler dev`, offline, and behind it a server on Node with all tiers. Both end with ctrl-c. */
import { spawn } from 'node:child_process';
import { startServer } from '../server-process.js';
import { OFFLINE, seedFolder, WRANGLER } from './worker-process.js';

const STATE = '.cache/edge';
const PORT = 8787;

// The bucket of this name in this folder is the one that `wrangler dev` will open.
await seedFolder(`${STATE}/v3/r2`);
const origin = await startServer({ STLM_ARTIFACTS: 'model-core/artifacts' });
const variables = ['--var', `STLM_ORIGIN:${origin.url}`, '--var', 'STLM_OPEN:true'];
const wrangler = spawn(process.execPath, [WRANGLER, 'dev', '--local', '--port', String(PORT), '--persist-to', STATE, ...variables], {
  env: { ...process.env, ...OFFLINE },
  stdio: 'inherit',
});
console.log(`the origin: ${origin.url}; the edge, in a moment: http://localhost:${PORT}. Try:`);
console.log(`  curl -i http://localhost:${PORT}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);

// A terminal interrupts all of them at once.
process.on('SIGINT', () => undefined).on('SIGTERM', () => wrangler.kill('SIGTERM'));
wrangler.once('exit', (code) => void origin.stop().then(() => process.exit(code ?? 0)));
