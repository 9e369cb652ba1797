/** `npm run dev:edge`: the Worker in workerd, and behind it a server on Node with all tiers. Both end with ctrl-c. */
import { startServer } from '../server-process.js';
import { seedBucket, startEdge } from './edge-process.js';

const STATE = '.cache/edge';
const PORT = 8787;

await seedBucket(STATE);
const origin = await startServer({ STLM_ARTIFACTS: 'model-core/artifacts' });
const edge = await startEdge({ state: STATE, port: PORT, variables: { STLM_ORIGIN: origin.url, STLM_OPEN: 'true' }, onLine: (line) => console.log(line) });
console.log(`stlm at the edge: ${edge.url}, its origin: ${origin.url}. Try:`);
console.log(`  curl -i ${edge.url}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);

async function stop(): Promise<void> {
  await Promise.all([edge.stop(), origin.stop()]);
  process.exit(0);
}
process.once('SIGINT', stop).once('SIGTERM', stop);
edge.process.once('exit', stop);
