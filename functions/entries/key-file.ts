/** The deployment's API keys, from the file that `STLM_KEYS` names. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { parseKeys, sha256Hex } from '../access/keys.js';
import type { Key } from '../schema/keys.js';

export interface DeploymentKeys {
  /** None: open to everyone. */
  readonly all: readonly Key[];
  /** For requests that the server sends itself. */
  readonly ownKey: string;
}

/** @throws with the file's name if it cannot be read or means nothing. */
export async function readKeys(path: string | undefined): Promise<DeploymentKeys> {
  const ownKey = randomUUID();
  if (path === undefined) return { all: [], ownKey };
  try {
    const keys = parseKeys(await readFile(path, 'utf8'));
    return { all: [...keys, { name: 'stlm', sha256: await sha256Hex(ownKey) }], ownKey };
  } catch (cause) {
    throw new Error(`STLM_KEYS: ${path}: ${(cause as Error).message}`, { cause });
  }
}
