/** What the figures were measured on. */
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  /** Of the minute before: others' work makes every figure worse. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    loadBefore: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

/** A line to print when the figures should not be trusted. */
export function busyWarning({ loadBefore, cores }: Machine): string | undefined {
  return loadBefore > 0.25 * cores ? `warning: the load average is ${loadBefore} on ${cores} cores; others' work slows everything measured here` : undefined;
}
