/**
 * What the origin's tiers would take of a request, from what its own predictor said of another: it is asked in the background, so that
 * no request pays a round trip to be told where to go. The origin decides for itself what it runs.
 *
 * @module
 */
import type { RouteRequest } from '../router/types.js';
import type { RouteAnswer } from '../schema/route.js';

export type TierForecast = RouteAnswer['tiers'][number];

/** What the origin is asked about: a prompt and a text of about the usual size. */
export const REFERENCE = {
  prompt: 'The quick brown fox jumps over the lazy dog while the old clock in the hall strikes seven. '.repeat(3),
  patches: 55,
  bytes: 128,
} as const;

type Work = Pick<RouteRequest, 'promptPatches' | 'maxBytes' | 'generations'>;

/** Milliseconds from its arrival there to its last byte, at the p95. */
export function forecastMs(reference: TierForecast, { promptPatches, maxBytes, generations }: Work): number {
  const { tier, wait_ms: waitMs, load_ms: loadMs, prefill_ms: prefillMs, decode_ms: decodeMs, predicted_ms: predictedMs } = reference;
  const expectedMs = waitMs + loadMs + prefillMs + decodeMs;
  const caution = expectedMs > 0 ? Math.max(1, predictedMs / expectedMs) : 1;
  const prefill = prefillMs * ((promptPatches[tier] ?? REFERENCE.patches) / REFERENCE.patches);
  const decode = decodeMs * (maxBytes / Math.max(1, reference.planned_bytes));
  return caution * (waitMs + loadMs + generations * (prefill + decode));
}
