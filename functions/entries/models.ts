/**
 * The models of a server on Node, and the workers that run them. They are what a start waits for longest, so they are opened before the
 * code of the server is loaded.
 */
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { checkTiers, type Config } from '../config.js';
import { WorkerPool } from '../engine/pool.js';
import { poolPlan } from '../engine/pool-plan.js';
import type { Placement } from '../engine/types.js';
import { thisMachine } from '../machine.js';
import { ModelFileCache } from '../registry/fetch.js';
import { openStore } from '../registry/open-store.js';
import { Registry } from '../registry/registry.js';
import { WORKER_URL } from './worker-url.js';

export interface OpenModels {
  readonly registry: Registry;
  readonly engine: WorkerPool;
  /** What is to be warm, in this order. The first is on its way. */
  readonly preload: readonly Placement[];
}

export interface OpeningOptions {
  /** One of the engine's threads, on its way up. */
  readonly firstThread?: Worker | undefined;
  /** False where no model is loaded twice from one disk, so that preparing it would only take longer. */
  readonly keepsPrepared?: boolean;
}

/** @throws what keeps a server from starting, and no thread is left but the first. */
export async function openModels(
  { artifacts, trustedKeys, cache, pool, policy, aliases }: Pick<Config, 'artifacts' | 'trustedKeys' | 'cache' | 'pool' | 'policy' | 'aliases'>,
  { firstThread, keepsPrepared = true }: OpeningOptions = {},
): Promise<OpenModels> {
  const registry = await Registry.open(await openStore(artifacts), new ModelFileCache(join(cache, 'files')), trustedKeys);
  checkTiers({ policy, pool, aliases }, registry);
  const { preload, ...plan } = poolPlan(thisMachine(), registry.manifests, pool);
  const prepared = keepsPrepared ? { preparedFolder: join(cache, 'prepared') } : {};
  const engine = new WorkerPool({ registry, workerUrl: WORKER_URL, ...(firstThread && { firstThread }), ...prepared, ...plan });
  const [first] = preload;
  if (first !== undefined) {
    // Read now, so that the thread opens it while this one is busy with other code. From elsewhere it takes too long to wait for.
    if (artifacts.kind === 'folder') await registry.model(first.tier).catch(() => undefined);
    // Whoever warms it, or asks for its state, hears why it failed.
    void engine.load(first).catch(() => undefined);
  }
  return { registry, engine, preload };
}
