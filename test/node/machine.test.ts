import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { thisMachine } from '../../functions/machine.js';

let folder = '';
afterEach(() => rm(folder, { recursive: true }));

/** The kernel's files of a control group. */
async function cgroup(files: Readonly<Record<string, string>>): Promise<string> {
  folder = await mkdtemp(join(tmpdir(), 'stlm-cgroup-'));
  await mkdir(join(folder, 'cpu'));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), `${content}\n`);
  return folder;
}

const all = availableParallelism();

test.each([
  ['version 2', { 'cpu.max': '100000 100000' }, 1],
  ['version 2, less than a core', { 'cpu.max': '50000 100000' }, 1],
  ['version 2, more than the machine has', { 'cpu.max': '99900000 100000' }, all],
  ['version 2, no limit', { 'cpu.max': 'max 100000' }, all],
  ['version 1', { 'cpu/cpu.cfs_quota_us': '100000', 'cpu/cpu.cfs_period_us': '100000' }, 1],
  ['version 1, no limit', { 'cpu/cpu.cfs_quota_us': '-1', 'cpu/cpu.cfs_period_us': '100000' }, all],
  ['no control groups', {}, all],
])('counts the cores that a container may use: %s', async (_version, files, cores) => {
  const machine = thisMachine(await cgroup(files));
  expect(machine.cores).toBe(cores);
  expect(machine.memoryBytes).toBeGreaterThan(0);
  expect(machine.memoryBytes).toBeLessThanOrEqual(totalmem());
});
