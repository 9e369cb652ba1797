/**
 * What became of a generation, as the layers above the engine hear it.
 *
 * @module
 */
import type { GenerationOutcome } from './generate.js';
import type { GenerateResult } from './types.js';

/** What is neither load nor the generation's own runs is waiting: for the worker, for other generations' runs, for messages. */
export function resultOf(outcome: GenerationOutcome, times: { elapsedMs: number; loadMs: number; firstByteMs: number }): GenerateResult {
  const { prefillMs, decodeMs, decodeAloneMs, coreMs, ...rest } = outcome;
  const queueMs = Math.max(0, times.elapsedMs - times.loadMs - prefillMs - decodeMs);
  return { ...rest, timings: { queueMs, loadMs: times.loadMs, prefillMs, decodeMs, decodeAloneMs, coreMs, firstByteMs: times.firstByteMs } };
}

/** Ended while its tier was still loading: nothing was read or written. */
export function unstarted(stopCause: 'cancelled' | 'deadline', loadMs: number): GenerateResult {
  const timings = { queueMs: 0, loadMs, prefillMs: 0, decodeMs: 0, decodeAloneMs: 0, coreMs: 0, firstByteMs: loadMs };
  return { stopCause, promptPatches: 0, cachedPatches: 0, cachedBytes: 0, completionBytes: 0, decodedPatches: 0, contextTruncated: false, meanBatch: 1, timings };
}
