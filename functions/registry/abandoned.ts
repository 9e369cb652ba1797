/**
 * Files that a killed process left half-written. They end in `.part` and are tens of megabytes each.
 *
 * @module
 */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Nothing takes so long to write: a younger file may be another process's work in progress. */
const ABANDONED_MS = 60 * 60 * 1000;

export async function removeAbandoned(folder: string, nowMs = Date.now()): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.part')) continue;
    const path = join(folder, name);
    // Another process may be removing the same file.
    const file = await stat(path).catch(() => undefined);
    if (file !== undefined && nowMs - file.mtimeMs > ABANDONED_MS) await rm(path, { force: true, recursive: true });
  }
}
