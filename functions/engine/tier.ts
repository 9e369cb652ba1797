/**
 * A tier made ready to serve: its session opened, its inputs checked, its first runs behind it.
 *
 * @module
 */
import { ElasticSession } from './elastic-session.js';
import { Generation, type ModelShape } from './generate.js';
import type { TierModel } from './messages.js';
import { monotonicMs } from './monotonic.js';
import { openSession, type SessionOptions } from './open-session.js';
import { Pace } from './pace.js';
import { type PrefixCache, prefixCache } from './prefix-cache.js';
import { INPUT_NAMES } from './run-inputs.js';
import { Runner } from './runner.js';

export interface LoadedTier {
  readonly session: ElasticSession;
  readonly shape: ModelShape;
  readonly pace: Pace;
  readonly prefixes: PrefixCache;
  readonly runner: Runner;
}

/**
 * @param isAlone whether all other workers are idle.
 * @throws if the file is no model, or not one with the graph this engine feeds.
 */
export async function loadTier({ tier, file, shape, prefixBytes, pace: seed }: TierModel, options: SessionOptions, isAlone = () => true): Promise<LoadedTier> {
  const session = new ElasticSession(await openSession(file, options), isAlone, monotonicMs);
  const wanted = [...INPUT_NAMES, ...cacheNames(shape.trunk.layers)].toSorted().join();
  const found = session.inputNames.toSorted().join();
  if (wanted !== found) throw new Error(`${tier}: the graph's inputs are ${found}, not ${wanted}`);
  const pace = new Pace(seed);
  const prefixes = prefixCache(prefixBytes);
  const loaded = { session, shape, pace, prefixes, runner: new Runner({ session, trunk: shape.trunk, pace, nowMs: monotonicMs }) };
  await warmUp(loaded);
  return loaded;
}

/** Its session is opened once more, for runs that have the machine to themselves. */
export async function widenTier({ session }: LoadedTier, { file }: TierModel, options: SessionOptions): Promise<void> {
  session.widen(await openSession(file, { ...options, yields: true }));
}

/** Its texts must have ended. The session is freed here; caches and buffers are let go, and freed when the thread's collector runs next. */
export async function releaseTier({ session, prefixes, runner }: LoadedTier): Promise<void> {
  prefixes.clear();
  runner.clear();
  await session.release();
}

/** The first runs of a session allocate its memory and take several times as long: no request should be the one to wait. */
async function warmUp({ runner, ...loaded }: LoadedTier): Promise<void> {
  const options = {
    prompt: new TextEncoder().encode('Once upon a time '),
    maxBytes: 16,
    temperature: 0,
    topP: 1,
    topK: 0,
    seed: 0,
    stop: [],
    logitBias: new Map<number, number>(),
    cacheSalt: '',
    deadlineAtMs: Infinity,
  };
  const generation = new Generation({ ...loaded, nowMs: monotonicMs }, options);
  while (generation.outcome === undefined) await runner.run([generation]);
}

function cacheNames(layers: number): string[] {
  return Array.from({ length: layers }, (_, layer) => [`pk${layer}`, `pv${layer}`]).flat();
}
