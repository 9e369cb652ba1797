/**
 * Runs the tests that are generated for the openai packages, out of a checkout of their repository, with the published package, against
 * the built server:
 *
 *   npm run conformance -- openai-node|openai-python CHECKOUT
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startChatServer } from '../chat-server.js';
import { judge, outcomes } from './outcomes.js';
import { SUITES } from './suites.js';

/** The names that these tests ask for. */
const MODELS = ['gpt-3.5-turbo-instruct', 'gpt-4o-mini', 'gpt-5.4'];

/** They take half a minute. */
const LONGEST_MS = 600_000;

const [name, checkout] = process.argv.slice(2);
const suite = SUITES[name ?? ''];
if (suite === undefined || checkout === undefined) {
  console.error(`stlm: usage: npm run conformance -- ${Object.keys(SUITES).join('|')} CHECKOUT`);
  process.exit(2);
}

const server = await startChatServer({ STLM_ALIASES: MODELS.map((model) => `${model}=stlm-auto@60s`).join(','), LOG_LEVEL: 'error' });
const folder = await mkdtemp(join(tmpdir(), 'stlm-generated-'));
try {
  const report = join(folder, 'junit.xml');
  const { command, options } = suite(resolve(checkout), report);
  const environment = { ...process.env, TEST_API_BASE_URL: `${server.url}/v1` };
  const run = spawn(command, options, { cwd: resolve(checkout), env: environment, stdio: ['ignore', 'pipe', 'inherit'], timeout: LONGEST_MS });
  run.stdout.resume();
  await once(run, 'close');
  const { lines, isAsExpected } = judge(outcomes(await readFile(report, 'utf8')));
  console.log(lines.join('\n'));
  process.exitCode = isAsExpected ? 0 : 1;
} finally {
  await rm(folder, { recursive: true });
  await server.stop();
}
