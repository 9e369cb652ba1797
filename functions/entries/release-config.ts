import type { Config } from '../config.js';
import { thisMachine } from '../machine.js';
import { releaseAt } from '../registry/releases.js';

/** What one release of a store is served by. Two may be in memory at a time: each has half of it. */
export function ofRelease(config: Config, id: string): Config {
  const { artifacts, decisionLog, pool } = config;
  const memoryBytes = (pool.memoryBytes ?? thisMachine().memoryBytes / 2) / 2;
  return { ...config, artifacts: releaseAt(artifacts, id), pool: { ...pool, memoryBytes }, decisionLog: decisionLog && `${decisionLog}.${id}` };
}
