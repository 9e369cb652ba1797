import { type Command, CommanderError } from 'commander';
import { ApiError } from '../client/index.js';

/** What the shell gets of a command line that means nothing. */
const MISUSED = 2;
/** 128 and the number of SIGINT. */
const INTERRUPTED = 130;

/** Runs a command line; what goes wrong is one line and an exit code, never a stack. */
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

export function fail(error: unknown): void {
  console.error(`stlm: ${describe(error)}`);
  process.exitCode = 1;
}

export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof ApiError && error.param !== null && !error.message.startsWith(error.param) ? `${error.param}: ${error.message}` : error.message;
}

function whole(command: Command, change: (command: Command) => void): void {
  change(command);
  for (const inner of command.commands) whole(inner, change);
}
