/**
 * When independent clients send: exponential gaps of a rate that may change with time. A slow server gets no relief, as nobody waits
 * for an answer before sending.
 */

/** Poisson arrivals of one rate, in milliseconds from the start. */
export function poisson(perSecond: number, durationMs: number, random: () => number): number[] {
  return bursty({ perSecond, burstFactor: 1, calmMs: durationMs, burstMs: durationMs }, durationMs, random);
}

export interface Bursts {
  /** On average over calm and burst. */
  readonly perSecond: number;
  /** Rate within a burst over the rate of calm. */
  readonly burstFactor: number;
  /** Mean length of each, exponentially distributed. */
  readonly calmMs: number;
  readonly burstMs: number;
}

/** A Markov-modulated Poisson process of two states (Fischer and Meier-Hellstern, 1993). */
export function bursty({ perSecond, burstFactor, calmMs, burstMs }: Bursts, durationMs: number, random: () => number): number[] {
  const exponential = (mean: number) => -Math.log(1 - random()) * mean;
  const calmPerMs = (perSecond / 1_000) * ((calmMs + burstMs) / (calmMs + burstFactor * burstMs));
  const arrivals: number[] = [];
  let inBurst = false;
  let nowMs = 0;
  let stateEndsMs = exponential(calmMs);
  while (nowMs < durationMs) {
    const nextMs = nowMs + exponential(1 / (calmPerMs * (inBurst ? burstFactor : 1)));
    // The gap has no memory: what is left of it when the state changes is drawn anew at the new rate.
    if (nextMs > stateEndsMs) {
      nowMs = stateEndsMs;
      inBurst = !inBurst;
      stateEndsMs += exponential(inBurst ? burstMs : calmMs);
      continue;
    }
    nowMs = nextMs;
    if (nowMs < durationMs) arrivals.push(nowMs);
  }
  return arrivals;
}
