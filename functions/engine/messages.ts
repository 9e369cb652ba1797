/**
 * What the main thread and a worker say to each other. Deadlines are on the machine's monotonic clock.
 *
 * @module
 */
import type { GenerationOutcome } from './generate.js';
import type { ModelFile } from './open-session.js';
import type { TierShape } from './tier.js';
import type { GenerateOptions } from './types.js';

/** How a worker is set up, once. */
export interface WorkerSetup {
  readonly threads: number;
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
  | { readonly kind: 'load'; readonly model: TierModel; readonly deadlineMs: number }
  | { readonly kind: 'generate'; readonly id: number; readonly tier: string; readonly options: SeededOptions }
  | { readonly kind: 'cancel'; readonly id: number }
  /** Of a tier that has no text in flight. */
  | { readonly kind: 'unload'; readonly tier: string }
  | { readonly kind: 'close' };

export type FromWorker =
  | { readonly kind: 'loaded'; readonly tier: string; readonly loadMs: number }
  | { readonly kind: 'loadFailed'; readonly tier: string; readonly reason: string }
  | { readonly kind: 'unloaded'; readonly tier: string }
  | { readonly kind: 'bytes'; readonly id: number; readonly patches: readonly Uint8Array[] }
  | { readonly kind: 'finished'; readonly id: number; readonly outcome: GenerationOutcome }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string };
