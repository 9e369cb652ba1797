/** Programs from Debian's packages: whether they are there, and running until they are stopped. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** Whether tests that need it must be left out; says so. */
export function lacks(name: 'haproxy' | 'redis-server'): boolean {
  const { error } = spawnSync(name, ['-v'], { stdio: 'ignore' });
  if (error !== undefined) console.warn(`${name} is not installed, so what needs it is left out (Debian: apt-get install ${name})`);
  return error !== undefined;
}

export interface Program {
  readonly process: ChildProcess;
  /** All it printed so far. */
  readonly output: () => string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const LONGEST_START_MS = 10_000;

/** Resolves once `isUp`. @throws with what it printed, if it ends before that or takes too long */
export async function startProgram(name: string, args: readonly string[], isUp: () => Promise<boolean>): Promise<Program> {
  const process = spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [process.stdout, process.stderr]) stream.on('data', (piece) => (output += String(piece)));
  const exited = once(process, 'exit');
  const latestMs = performance.now() + LONGEST_START_MS;
  while (!(await isUp().catch(() => false))) {
    if (process.exitCode !== null) throw new Error(`${name} ended with ${process.exitCode}:\n${output}`);
    if (performance.now() > latestMs) {
      process.kill('SIGKILL');
      throw new Error(`${name} is not up after ${LONGEST_START_MS} ms:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    process.kill(signal);
    await exited;
  };
  return { process, output: () => output, stop };
}
