/** What a process keeps resident, as Linux counts it. */
import { readFileSync } from 'node:fs';

export interface MemorySample {
  readonly atMs: number;
  readonly residentMiB: number;
}

/** Undefined where there is no /proc, or no such process. */
export function residentMiB(pid: number): number | undefined {
  try {
    const [, kiB] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return kiB === undefined ? undefined : Number(kiB) / 1_024;
  } catch {
    return undefined;
  }
}

/** Samples until stopped; `stop` gives what it saw. */
export function watchMemory(pid: number, everyMs: number): { stop(): readonly MemorySample[] } {
  const startMs = performance.now();
  const samples: MemorySample[] = [];
  const sample = () => {
    const resident = residentMiB(pid);
    if (resident !== undefined) samples.push({ atMs: performance.now() - startMs, residentMiB: resident });
  };
  sample();
  const timer = setInterval(sample, everyMs);
  return {
    stop: () => {
      clearInterval(timer);
      sample();
      return samples;
    },
  };
}
