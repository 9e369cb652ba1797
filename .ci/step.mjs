import { spawnSync } from 'node:child_process';

/** The checkout cannot be made ready; the message is the one line that says what to do. */
export class Unready extends Error {}

export function announce(what) {
  console.log(`stlm: ${what}`);
}

/** Runs a step with its output shown. @throws {Unready} with `advice` when it fails. */
export function run(command, args, advice) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error || status !== 0) throw new Unready(advice);
}

/** Runs a question quietly; its standard output, or undefined when it cannot be answered. */
export function ask(command, args) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
