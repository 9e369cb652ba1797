/** The origin on Cloudflare Containers: as far as it can be deployed without an account, a network or a Docker engine. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const CONFIG = 'deploy/cloudflare/wrangler.jsonc';

test('wrangler bundles the Worker, and finds in its configuration the container, its class and its Dockerfile', async () => {
  const out = await mkdtemp(join(tmpdir(), 'stlm-origin-'));
  const docker = join(out, 'docker');
  // Takes what it is to build and builds nothing; `deploy/container/prove.sh` builds the same Dockerfile.
  await writeFile(docker, '#!/bin/sh\n[ "$1" != build ] || cat > "$0.file"\n', { mode: 0o755 });
  const env = {
    ...process.env,
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_LOG_PATH: join(out, 'logs'),
    WRANGLER_DOCKER_BIN: docker,
  };
  const args = ['node_modules/wrangler/bin/wrangler.js', 'deploy', '--dry-run', '--outdir', out, '-c', CONFIG];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env });
  expect(stdout).toMatch(/env\.ORIGIN \(Origin\)\s+Durable Object/);
  expect(await readFile(`${docker}.file`, 'utf8')).toBe(await readFile('deploy/container/Dockerfile', 'utf8'));
  // It warns of fields that it does not know.
  expect(stdout + stderr).not.toMatch(/warning/i);
  expect(await readdir(out)).toContain('origin.js');
  await rm(out, { recursive: true });
});

test('requests go to as many instances as there may be', () => {
  const [most] = /(?<="max_instances": )\d+/.exec(readFileSync(CONFIG, 'utf8'))!;
  expect(readFileSync('deploy/cloudflare/origin.ts', 'utf8')).toContain(`INSTANCES = ${most};`);
});
