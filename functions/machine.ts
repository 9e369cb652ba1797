/**
 * What of the machine this process may use: Node sees the limits of a container only in part.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Machine } from './engine/pool-plan.js';

/** @param cgroupFolder where the kernel mounts control groups; a container sees its own at the top. */
export function thisMachine(cgroupFolder = '/sys/fs/cgroup'): Machine {
  const memoryLimitBytes = process.constrainedMemory();
  return {
    cores: Math.max(1, Math.min(availableParallelism(), Math.floor(cpuQuota(cgroupFolder)))),
    // 0: not known. Beyond the machine's memory: without limit.
    memoryBytes: memoryLimitBytes > 0 ? Math.min(memoryLimitBytes, totalmem()) : totalmem(),
  };
}

/** In cores, as version 2 and version 1 of control groups say it; Infinity: no limit. Node 20 does not heed it. */
function cpuQuota(folder: string): number {
  const [quotaUs, periodUs] =
    read(join(folder, 'cpu.max'))?.split(' ') ??
    ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((name) => read(join(folder, 'cpu', name)));
  const cores = Number(quotaUs) / Number(periodUs);
  return cores > 0 ? cores : Infinity;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // No container, or no Linux.
    return undefined;
  }
}
