/**
 * The file of the decision log. It is written off the request's path; what a stalled disk does not take in time is dropped rather than
 * kept in memory.
 *
 * @module
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { LogRecord } from './schema/decision-log.js';

const MOST_BYTES_WAITING = 4 * 1_048_576;

export interface DecisionLog {
  write(record: LogRecord): void;
  /** Resolves once all of it is in the file. */
  close(): Promise<void>;
}

/** @param onError hears of a file that can no longer be written. @throws when it cannot be opened for appending; its folder must be there. */
export async function openDecisionLog(path: string, onError: (error: Error) => void): Promise<DecisionLog> {
  const file = createWriteStream(path, { flags: 'a' });
  await once(file, 'open');
  file.on('error', onError);
  return {
    write: (record) => {
      if (file.writable && file.writableLength < MOST_BYTES_WAITING) file.write(`${JSON.stringify(record, rounded)}\n`);
    },
    close: () => new Promise((resolve) => file.end(resolve)),
  };
}

/** Microseconds and below are noise, and half of the file. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1_000) / 1_000 : value;
}
