/**
 * What the engine promises to the layers above it. Runtime-free: the Node pool and the edge engine both implement it.
 *
 * @module
 */
import type { Manifest } from '../schema/manifest.js';

export interface GenerateOptions {
  /** Raw bytes; may end in the middle of a word. */
  readonly prompt: Uint8Array;
  readonly maxBytes: number;
  /** 0 = greedy. */
  readonly temperature: number;
  /** (0, 1]. */
  readonly topP: number;
  /** 0 = off. */
  readonly topK: number;
  /** The same seed on the same tier gives the same text; undefined draws one. */
  readonly seed: number | undefined;
  readonly stop: readonly Uint8Array[];
  /** Byte value to the bias added to its logit. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** Epoch milliseconds, as `performance.timeOrigin + performance.now()`; Infinity = none. */
  readonly deadlineAtMs: number;
}

export type StopCause = 'eod' | 'stop' | 'length' | 'deadline' | 'cancelled';

export interface GenerateTimings {
  readonly queueMs: number;
  readonly loadMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** From the call to the first byte; equals the whole time when no byte came. */
  readonly firstByteMs: number;
}

export interface GenerateResult {
  readonly stopCause: StopCause;
  readonly promptPatches: number;
  readonly completionBytes: number;
  readonly decodedPatches: number;
  /** The oldest part of the text no longer fitted the context and was forgotten. */
  readonly contextTruncated: boolean;
  readonly timings: GenerateTimings;
}

export type TierState = 'cold' | 'loading' | 'ready' | 'quarantined';

export interface TierStatus {
  readonly id: string;
  readonly state: TierState;
  readonly reason?: string;
  readonly loadMs?: number;
}

export interface WorkerLoad {
  readonly worker: number;
  /** Generations in the worker's earliest-deadline-first queue. */
  readonly active: number;
  readonly warmTiers: readonly string[];
}

export interface Placement {
  readonly tier: string;
  readonly worker: number;
}

export interface Engine {
  /** Ascending by unique parameters. */
  readonly manifests: readonly Manifest[];
  readonly workers: number;
  status(): readonly TierStatus[];
  isWarm(placement: Placement): boolean;
  /** Loads a tier into a worker (single flight); the load's measured ms. */
  load(placement: Placement): Promise<number>;
  /** Yields raw bytes a patch at a time; returns the result. Aborting ends compute before the next run. */
  generate(placement: Placement, options: GenerateOptions, signal: AbortSignal): AsyncGenerator<Uint8Array, GenerateResult, void>;
  close(): Promise<void>;
}
