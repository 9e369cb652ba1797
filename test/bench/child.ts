/** Runs an entrant in a process of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { System } from './entrants.js';

const run = promisify(execFile);
const LONGEST_RUN_MS = 60_000;

/** What is to run, and how it is called in the report. */
export interface Contender {
  readonly system: System;
  readonly settings: string;
  /** The program of `systems/` that runs it. */
  readonly program: string;
  readonly task: object;
}

/** @throws with the entrant's own last words when it fails. */
export async function measure<M>({ system, settings, program, task }: Contender): Promise<M> {
  const path = fileURLToPath(new URL(`systems/${program}.js`, import.meta.url));
  try {
    const { stdout } = await run(process.execPath, [path, JSON.stringify(task)], { timeout: LONGEST_RUN_MS });
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as M;
  } catch (error) {
    const { stderr, killed } = error as { stderr?: string; killed?: boolean };
    const words = killed ? `not done within ${LONGEST_RUN_MS / 1_000} s` : String(stderr ?? error).trim().slice(-500);
    throw new Error(`${system} (${settings}) failed: ${words}`, { cause: error });
  }
}

/** The packages of the peers are for development only; the line to print when one is missing. */
export function missingPackage(name: string): string | undefined {
  try {
    import.meta.resolve(name);
    return undefined;
  } catch {
    return `${name} is not installed, so it is left out: run "npm install" without --omit=dev`;
  }
}
