/** Every example of the client's README and of the guides at `/docs`, as it stands there, in a process of its own against the built server. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerProcess } from '../server-process.js';
import { startChatServer } from './chat-server.js';

/** Made by `npm test`; without it examples in Python are not run. */
const PYTHON = 'test/conformance/python/.venv/bin/python';
/** How code in a language is run. JavaScript imports packages, ours too, by their own names, as a product does. */
const COMMANDS: Record<string, readonly string[]> = {
  js: [process.execPath, '--input-type=module', '--eval'],
  sh: ['bash', '-euo', 'pipefail', '-c'],
  ...(existsSync(PYTHON) && { python: [PYTHON, '-c'] }),
};
/** Its command takes a harness that is installed only where `test/conformance/lm-eval` runs it. */
const RUN_ELSEWHERE = 'lm-eval.md';

const guides = readdirSync('functions/docs').filter((file) => file.endsWith('.md') && file !== RUN_ELSEWHERE);
const examples = ['functions/client/README.md', ...guides.map((file) => `functions/docs/${file}`)].flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, code], index) => ({ file, example: `${language} ${index + 1}`, language: language!, code: code! })),
);

let server: ServerProcess;
beforeAll(async () => {
  server = await startChatServer();
});
afterAll(() => server.stop());

describe('documented examples', () => {
  test('are in every document, in languages that are run here', () => {
    expect(new Set(examples.map(({ file }) => basename(file)))).toEqual(new Set(['README.md', ...guides]));
    for (const { language } of examples) expect(['js', 'sh', 'python']).toContain(language);
  });

  test.each(examples.filter(({ language }) => language in COMMANDS))('$file: $example runs and prints something', async ({ language, code }) => {
    const [command, ...options] = COMMANDS[language]!;
    const { stdout, stderr } = await promisify(execFile)(command!, [...options, code.replaceAll('http://127.0.0.1:8080', server.url)]);
    expect(stdout.trim()).not.toBe('');
    // What a server refuses is no failure of curl's.
    expect(stdout).not.toMatch(/^\{"error"/);
    expect(stderr).toBe('');
  });
});
