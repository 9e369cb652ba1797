/** Every example of the client's README, as it stands there, in a process of its own against the built server. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerProcess } from '../server-process.js';
import { startChatServer } from './chat-server.js';

const README = readFileSync('functions/client/README.md', 'utf8');
const examples = README.split(/^## /m).flatMap((section) =>
  [...section.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code]) => ({ under: section.slice(0, section.indexOf('\n')), code: code! })),
);

let server: ServerProcess;
beforeAll(async () => {
  server = await startChatServer();
});
afterAll(() => server.stop());

describe("the client's README", () => {
  test('has examples', () => expect(examples.length).toBeGreaterThanOrEqual(5));

  test.each(examples)('$under: the example runs and prints something', async ({ code }) => {
    // By its own name, as a product imports it; only the address is this server's.
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code.replaceAll('http://127.0.0.1:8080', server.url)]);
    expect((await run).stdout.trim()).not.toBe('');
    expect((await run).stderr).toBe('');
  });
});
