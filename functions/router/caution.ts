/**
 * How much wider than reckoned a promise has to be so that one in twenty is broken, no more and no fewer: adaptive conformal inference
 * (Gibbs and Candès, 2021). It assumes nothing about what the errors look like, and follows a machine or a load that changes.
 */
export interface Caution {
  /** ln of the factor on the distance from the expected to the p95. */
  readonly lnFactor: number;
}

const BROKEN = 0.05;
/** A broken promise widens the next by so much less its share; kept ones narrow it by the rest. */
const STEP = 0.15;
/** Between these a run of luck cannot carry it away. */
const LEAST = Math.log(0.25);
const MOST = Math.log(8);

export const NEUTRAL: Caution = { lnFactor: 0 };

export function cautious({ lnFactor }: Caution, expectedMs: number, p95Ms: number): number {
  return expectedMs + Math.exp(lnFactor) * Math.max(0, p95Ms - expectedMs);
}

export function learnCaution({ lnFactor }: Caution, broken: boolean): Caution {
  return { lnFactor: Math.min(MOST, Math.max(LEAST, lnFactor + STEP * ((broken ? 1 : 0) - BROKEN))) };
}
