/**
 * Why a generation has no result. Messages are for the log; no client needs to see them.
 *
 * @module
 */

/** The tier cannot be served by this process: its artifact or its graph is no good. */
export class TierQuarantinedError extends Error {
  override readonly name = 'TierQuarantinedError';
}

/** The tier could not be had just now; a later call may succeed. */
export class TierUnavailableError extends Error {
  override readonly name = 'TierUnavailableError';
}

/** The worker died with the generation on it. It is back, warm, shortly. */
export class WorkerCrashedError extends Error {
  override readonly name = 'WorkerCrashedError';
}

/** The runtime refused a run. */
export class GenerationFailedError extends Error {
  override readonly name = 'GenerationFailedError';
}

/** The engine was closed before or while it was asked. */
export class EngineClosedError extends Error {
  override readonly name = 'EngineClosedError';
}
