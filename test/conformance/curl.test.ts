/** Plain curl, and a parser of server-sent events that is not ours. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createParser } from 'eventsource-parser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CompletionChunk } from '../../functions/schema/completion.js';
import { type ServerProcess, startServer } from '../server-process.js';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

const body = (more: object = {}) => JSON.stringify({ model: 'stlm-auto', prompt: 'Once upon a time', max_tokens: 48, latency_budget_ms: 60_000, ...more });
const curl = async (...options: string[]) => (await promisify(execFile)('curl', ['--silent', '--show-error', ...options])).stdout;

describe('curl', () => {
  test('completes as the README says it does: no content type, no key', async () => {
    const completion = JSON.parse(await curl(`${server.url}/v1/completions`, '-d', body())) as { choices: { text: string }[] };
    expect(completion.choices[0]!.text).not.toBe('');
  });

  test('reads a stream as it comes', async () => {
    const wire = await curl('--no-buffer', `${server.url}/v1/completions`, '-d', body({ stream: true }));
    const events: string[] = [];
    createParser({ onEvent: ({ data, event }) => void events.push(event === undefined ? data : `${event}: ${data}`) }).feed(wire);
    expect(events.pop()).toBe('[DONE]');
    const chunks = events.map((data) => JSON.parse(data) as CompletionChunk);
    expect(chunks.map(({ choices }) => choices[0]!.text).join('')).not.toBe('');
    expect(chunks.filter(({ choices }) => choices[0]!.finish_reason !== null)).toHaveLength(1);
  });

  test('sees errors as a status and as JSON, and as a problem if it asks for one', async () => {
    const failed = await curl('--write-out', '\n%{http_code} %{content_type}', `${server.url}/v1/completions`, '-d', '{"model":"stlm-auto"}');
    expect(failed).toMatch(/"param":"prompt".*\n400 application\/json/s);
    const problem = await curl('-H', 'accept: application/problem+json', '--write-out', '\n%{content_type}', `${server.url}/v1/models/none`);
    expect(problem).toMatch(/urn:stlm:error:model_not_found.*\napplication\/problem\+json/s);
  });
});
