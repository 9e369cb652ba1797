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

/** Milliseconds from its arrival there to its last byte, cautiously. */
export function forecastMs(reference: TierForecast, { promptPatches, maxBytes, generations }: Work): number {
  const { tier, wait_ms: waitMs, load_ms: loadMs, prefill_ms: prefillMs, decode_ms: decodeMs, predicted_first_byte_ms: firstByteMs } = reference;
  const beforeMs = waitMs + loadMs;
  // The p95 of the first byte over what is expected of it. That of the last counts in whoever might overtake a text in a budget so long.
  const caution = Math.max(1, firstByteMs / (beforeMs + prefillMs));
  const prefill = prefillMs * ((promptPatches[tier] ?? REFERENCE.patches) / REFERENCE.patches);
  const decode = decodeMs * (maxBytes / Math.max(1, reference.planned_bytes));
  return caution * (beforeMs + generations * (prefill + decode));
}

/** The same, were nobody before it. */
export function alone(tier: TierForecast): TierForecast {
  return { ...tier, wait_ms: 0, predicted_first_byte_ms: Math.max(0, tier.predicted_first_byte_ms - tier.wait_ms) };
}
