/** `npm start` without npm: the built server in a process of its own, on a free port, ready with the committed test model. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

export interface ServerProcess {
  readonly url: string;
  readonly process: ChildProcess;
  /** Everything it printed so far. */
  readonly output: readonly string[];
  /** Asks it to stop; its exit code. */
  stop(): Promise<number | null>;
}

/** @param folder where the build is. */
export async function startServer(environment: Record<string, string> = {}, { folder = '.', entry = 'dist/functions/entries/node.js' } = {}): Promise<ServerProcess> {
  const process = spawn(globalThis.process.execPath, [entry], {
    cwd: folder,
    env: { ...globalThis.process.env, PORT: '0', STLM_ARTIFACTS: resolve('test/fixtures/models'), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: string[] = [];
  const url = await new Promise<string>((listening, reject) => {
    for (const stream of [process.stdout, process.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        output.push(line);
        const [, found] = /listening on (http:\/\/\S+)/.exec(line) ?? [];
        if (found) listening(found);
      });
    }
    process.once('exit', (code) => reject(new Error(`the server ended with ${code}:\n${output.join('\n')}`)));
  });
  while (!(await fetch(`${url}/readyz`)).ok) await new Promise((passed) => setTimeout(passed, 50));
  const stop = async () => {
    if (process.exitCode === null && process.signalCode === null) {
      process.kill('SIGTERM');
      await once(process, 'exit');
    }
    return process.exitCode;
  };
  return { url, process, output, stop };
}
