/**
 * Schemathesis makes requests up from `/openapi.json`, valid ones and not, and holds every answer to it: no 5xx, no status, header or body
 * that is not described, nothing invalid accepted.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerProcess } from '../server-process.js';
import { startChatServer } from './chat-server.js';

const FOLDER = resolve('test/conformance/schemathesis');
const COMMAND = resolve('test/conformance/python/.venv/bin/schemathesis');
/** Of each operation; set it for a longer search. */
const EXAMPLES = process.env['SCHEMATHESIS_EXAMPLES'] ?? '40';
const SEED = process.env['SCHEMATHESIS_SEED'] ?? '7';

describe.skipIf(!existsSync(COMMAND))('the API (skipped without Schemathesis: npm test installs it)', () => {
  let server: ServerProcess;
  let folder: string;
  beforeAll(async () => {
    server = await startChatServer();
    folder = await mkdtemp(join(tmpdir(), 'stlm-schemathesis-'));
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });

  test('answers whatever can be asked as its document says', { timeout: 600_000 }, async () => {
    const options = ['--max-examples', EXAMPLES, '--seed', SEED, '--phases', 'examples,coverage,fuzzing', '--request-timeout', '30', '--no-color'];
    const environment = { ...process.env, SCHEMATHESIS_HOOKS: 'hooks', PYTHONPATH: FOLDER };
    const command = ['--config-file', join(FOLDER, 'schemathesis.toml'), 'run', `${server.url}/openapi.json`, ...options];
    const { code, output } = await new Promise<{ code: number; output: string }>((done) => {
      execFile(COMMAND, command, { cwd: folder, env: environment, maxBuffer: 1 << 26 }, (error, stdout, stderr) => done({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }));
    });
    expect(code === 0 ? '' : output).toBe('');
    expect(output).toMatch(/Tested: 1\d/);
    // Not all of it was refused: some requests got their text.
    expect(server.output.filter((line) => line.includes('"tier":"stlm-tiny"')).length).toBeGreaterThan(20);
  });
});
