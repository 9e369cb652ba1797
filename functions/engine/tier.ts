/**
 * A tier made ready to serve: its inputs checked, its first runs behind it. Knows no runtime.
 *
 * @module
 */
import type { Manifest } from '../schema/manifest.js';
import { chunkPatches } from './chunk.js';
import { Generation, type ModelShape } from './generate.js';
import type { ModelSession } from './onnx-runtime.js';
import { Pace, type PaceSeed } from './pace.js';
import { type PrefixCache, prefixCache } from './prefix-cache.js';
import { INPUT_NAMES } from './run-inputs.js';
import { Runner } from './runner.js';

/** What is known of a tier's model besides where it lies. */
export interface TierShape {
  readonly tier: string;
  readonly shape: ModelShape;
  /** Its prefix cache may grow to this. */
  readonly prefixBytes: number;
  readonly pace: PaceSeed;
}

export interface LoadedTier<S extends ModelSession = ModelSession> {
  readonly session: S;
  readonly shape: ModelShape;
  readonly pace: Pace;
  readonly prefixes: PrefixCache;
  readonly runner: Runner;
}

export function modelShape({ trunk, context }: Pick<Manifest, 'trunk' | 'context'>): ModelShape {
  return { trunk, contextPatches: context.patches, chunkPatches: chunkPatches(trunk) };
}

/** @throws if the session is not of the graph this engine feeds. */
export async function readyTier<S extends ModelSession>(session: S, { tier, shape, prefixBytes, pace: seed }: TierShape, nowMs: () => number): Promise<LoadedTier<S>> {
  const wanted = [...INPUT_NAMES, ...cacheNames(shape.trunk.layers)].toSorted().join();
  const found = session.inputNames.toSorted().join();
  if (wanted !== found) throw new Error(`${tier}: the graph's inputs are ${found}, not ${wanted}`);
  const pace = new Pace(seed);
  const prefixes = prefixCache(prefixBytes);
  const loaded = { session, shape, pace, prefixes, runner: new Runner({ session, trunk: shape.trunk, pace, nowMs }) };
  await warmUp(loaded, nowMs);
  return loaded;
}

/** Its texts must have ended. The session is freed here; caches and buffers are let go, and freed when the thread's collector runs next. */
export async function releaseTier({ session, prefixes, runner }: LoadedTier): Promise<void> {
  prefixes.clear();
  runner.clear();
  await session.release();
}

/** The first runs of a session allocate its memory and take several times as long: no request should be the one to wait. */
async function warmUp({ runner, ...loaded }: LoadedTier, nowMs: () => number): Promise<void> {
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
  const generation = new Generation({ ...loaded, nowMs }, options);
  while (generation.outcome === undefined) await runner.run([generation]);
}

function cacheNames(layers: number): string[] {
  return Array.from({ length: layers }, (_, layer) => [`pk${layer}`, `pv${layer}`]).flat();
}
