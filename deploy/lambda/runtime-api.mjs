/**
 * Lambda's side of the runtime API, for one environment: starts COMMAND, hands its runtime client a few requests to a function URL, one
 * after the other, and prints when the bytes of each answer came. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 *
 *   node deploy/lambda/runtime-api.mjs COMMAND…      after `npx tsc -b`
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { functionUrl } from '../../dist/test/node/lambda/events.js';

const TIME_LIMIT_MS = 30_000;
/** The first is that of the cold start. */
const REQUESTS = [
  { model: 'stlm-10m', max_tokens: 80, latency_budget_ms: 5_000 },
  { model: 'stlm-auto', max_tokens: 80, latency_budget_ms: 5_000 },
  { model: 'stlm-auto', max_tokens: 80, latency_budget_ms: 1_000 },
];
const events = REQUESTS.map((fields) => functionUrl({ path: '/v1/completions', body: JSON.stringify({ prompt: 'Once upon a time', seed: 7, stream: true, ...fields }) }));

const startedAtMs = performance.now();
let sent = 0;
let sentAtMs = 0;

const server = createServer(async (request, response) => {
  if (request.url.endsWith('/invocation/next')) return next(response);
  const pieces = [];
  request.on('data', () => pieces.push(performance.now()));
  const body = await text(request);
  response.writeHead(202, { 'content-length': 0 }).end();
  if (!request.url.endsWith('/response')) fail(`${request.url}: ${body}`);
  const [prelude] = body.split('\0', 1);
  if (JSON.parse(prelude).statusCode !== 200 || !body.includes('[DONE]')) fail(body);
  const tier = /"tier":"([^"]*)"/.exec(body)[1];
  console.log(`answer ${sent}: ${tier}, first byte after ${ms(pieces[0] - sentAtMs)}, last after ${ms(pieces.at(-1) - sentAtMs)}, in ${pieces.length} pieces`);
  if (sent === 1) console.log(`from the start to the first byte: ${ms(pieces[0] - startedAtMs)}`);
});

function next(response) {
  // No environment outlives its runtime API.
  if (sent === events.length) return server.close().closeAllConnections();
  if (sent === 0) console.log(`init took ${ms(performance.now() - startedAtMs)}`);
  const body = JSON.stringify(events[sent]);
  sent += 1;
  sentAtMs = performance.now();
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'lambda-runtime-aws-request-id': `request-${sent}`,
    'lambda-runtime-deadline-ms': Date.now() + TIME_LIMIT_MS,
    'lambda-runtime-invoked-function-arn': 'arn:aws:lambda:eu-north-1:123456789012:function:stlm',
  });
  response.end(body);
}

function ms(duration) {
  return `${Math.round(duration)} ms`;
}

function fail(what) {
  console.error(what);
  process.exitCode = 1;
  server.close().closeAllConnections();
}

server.listen(0, '127.0.0.1', () => {
  const env = {
    AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${server.address().port}`,
    AWS_LAMBDA_FUNCTION_NAME: 'stlm',
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '3538',
    AWS_LAMBDA_LOG_GROUP_NAME: '/aws/lambda/stlm',
    AWS_LAMBDA_LOG_STREAM_NAME: 'stream',
  };
  const [command, ...args] = process.argv.slice(2);
  const environment = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
  const printed = text(environment.stderr);
  environment.once('exit', async () => {
    if (sent < events.length || process.exitCode) fail(await printed);
  });
  setTimeout(() => fail('no end after 60 s'), 60_000).unref();
});
