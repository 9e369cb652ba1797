/**
 * What the main thread and a worker say to each other. Deadlines are on the machine's monotonic clock.
 *
 * @module
 */
import type { GenerationOutcome } from './generate.js';
import type { ModelFile } from './open-session.js';
import type { TierShape } from './tier.js';
import type { GenerateOptions, Piece } from './types.js';

/** How a worker runs models: the same for all that it loads. */
export interface WorkerSetup {
  /** Its number, from 0. */
  readonly worker: number;
  readonly workers: number;
  /** See `Occupancy`. */
  readonly occupancy: SharedArrayBuffer;
  readonly threads: number;
  readonly wideThreads: number;
  readonly preparedFolder?: string;
}

export interface TierModel extends TierShape {
  readonly file: ModelFile;
}

export interface SeededOptions extends GenerateOptions {
  readonly seed: number;
  /** Nobody asked for this seed. One that was asked for gives the same text again, so it must not matter which other texts there are. */
  readonly seedDrawn: boolean;
}

export type ToWorker =
  | { readonly kind: 'load'; readonly model: TierModel; readonly setup: WorkerSetup; readonly deadlineMs: number }
  | { readonly kind: 'generate'; readonly id: number; readonly tier: string; readonly options: SeededOptions }
  | { readonly kind: 'cancel'; readonly id: number }
  /** Of a loaded tier. */
  | { readonly kind: 'widen'; readonly model: TierModel; readonly setup: WorkerSetup }
  /** Of a tier that has no text in flight. */
  | { readonly kind: 'unload'; readonly tier: string }
  | { readonly kind: 'close' };

export type FromWorker =
  | { readonly kind: 'loaded'; readonly tier: string; readonly loadMs: number }
  | { readonly kind: 'loadFailed'; readonly tier: string; readonly reason: string }
  /** Or not: then it stays as it is. */
  | { readonly kind: 'widened'; readonly tier: string; readonly wide: boolean }
  | { readonly kind: 'unloaded'; readonly tier: string }
  | { readonly kind: 'text'; readonly id: number; readonly pieces: readonly Piece[] }
  | { readonly kind: 'finished'; readonly id: number; readonly outcome: GenerationOutcome }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string };
