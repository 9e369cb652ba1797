/**
 * The file of the decision log. Lines are gathered and written off the request's path; what a stalled disk does not take in time is
 * dropped rather than kept in memory.
 *
 * @module
 */
import { destination } from 'pino';
import type { LogRecord } from './schema/decision-log.js';

const GATHERED_BYTES = 8_192;
const MOST_BYTES = 4 * 1_048_576;

export interface DecisionLog {
  write(record: LogRecord): void;
  close(): void;
}

/** @throws when the file cannot be opened for appending. */
export function openDecisionLog(path: string): DecisionLog {
  const file = destination({ dest: path, sync: false, mkdir: true, minLength: GATHERED_BYTES, maxLength: MOST_BYTES });
  return {
    write: (record) => void file.write(`${JSON.stringify(record, rounded)}\n`),
    close: () => file.flushSync(),
  };
}

/** Microseconds and below are noise, and half of the file. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1_000) / 1_000 : value;
}
