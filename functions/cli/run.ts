import { type Command, CommanderError } from 'commander';
import { fail, isAbort } from './fail.js';

/** What the shell gets of a command line that means nothing. */
const MISUSED = 2;
/** 128 and the number of SIGINT. */
const INTERRUPTED = 130;

/** Runs a command line; the exit code says how it went. */
export async function run(command: Command): Promise<void> {
  whole(command, (one) => one.exitOverride().showHelpAfterError('(--help says more)'));
  // Whoever reads the output may have read enough.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));
  try {
    await command.parseAsync();
  } catch (error) {
    // Commander has printed its own.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : MISUSED;
    else if (isAbort(error)) process.exitCode = INTERRUPTED;
    else fail(error);
  }
}

function whole(command: Command, change: (command: Command) => void): void {
  change(command);
  for (const inner of command.commands) whole(inner, change);
}
