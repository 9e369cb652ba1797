import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { brokenPages } from '../pages.js';
import { startServer } from '../server-process.js';

test('the bundled server does what the built one does: text, grammars in their thread, and the pages', async () => {
  await promisify(execFile)(process.execPath, ['.ci/bundle.mjs']);
  const server = await startServer({}, { entry: 'bundle/functions/entries/node.js' });
  const body = JSON.stringify({ model: 'stlm-auto', prompt: 'Once', max_tokens: 8, latency_budget_ms: 60_000, regex: '[0-9]{8}' });
  const answer = await fetch(`${server.url}/v1/completions`, { method: 'POST', body });
  expect(await answer.json()).toMatchObject({ choices: [{ text: expect.stringMatching(/^[0-9]{8}$/) }] });
  expect(await brokenPages(server.url)).toEqual([]);
  expect(await server.stop()).toBe(0);
});
