/** `npm start` without npm: the built server in a process of its own, on a free port, ready with the committed test model. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface ServerProcess {
  readonly url: string;
  readonly process: ChildProcess;
  /** Everything it printed so far. */
  readonly output: readonly string[];
  /** Asks it to stop; its exit code. */
  stop(): Promise<number | null>;
}

export async function startServer(environment: Record<string, string> = {}): Promise<ServerProcess> {
  const process = spawn(globalThis.process.execPath, ['dist/functions/entries/node.js'], {
    env: { ...globalThis.process.env, PORT: '0', STLM_ARTIFACTS: 'test/fixtures/models', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: string[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [process.stdout, process.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        output.push(line);
        const [, found] = /listening on (http:\/\/\S+)/.exec(line) ?? [];
        if (found) resolve(found);
      });
    }
    process.once('exit', (code) => reject(new Error(`the server ended with ${code}:\n${output.join('\n')}`)));
  });
  while (!(await fetch(`${url}/readyz`)).ok) await new Promise((resolve) => setTimeout(resolve, 50));
  const stop = async () => {
    if (process.exitCode === null && process.signalCode === null) {
      process.kill('SIGTERM');
      await once(process, 'exit');
    }
    return process.exitCode;
  };
  return { url, process, output, stop };
}
