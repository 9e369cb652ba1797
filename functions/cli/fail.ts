import { ApiError } from '../client/errors.js';

/** One line and an exit code, never a stack. */
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
