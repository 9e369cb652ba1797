/**
 * Capacity that is left for quality. Every admitted request pays for its work out of an allowance that grows with time, at most at
 * the rate at which the workers can be kept busy without queues eating the budgets. The smallest tier always runs, on credit if
 * need be; a larger one runs only when the allowance covers it. So as load rises requests move to smaller tiers before any is shed,
 * and how far is measured, not configured: whatever the base load does not use.
 */
export interface Headroom {
  /** Work that may be taken on now; negative while the smallest tier alone takes more than the allowance. */
  readonly allowedMs: number;
  readonly asOfMs: number;
}

/** Share of the workers' time that is handed out; beyond it the wait of an M/G/1 queue grows faster than what quality gains. */
const TARGET_UTILISATION = 0.85;
/** What an idle worker saves up at most: a burst as long as this runs at full quality. */
const MOST_SAVED_MS = 2_000;
/** What overload can owe at most, so that quality is back soon after it. */
const MOST_OWED_MS = 500;

export function fullHeadroom(workers: number, nowMs: number): Headroom {
  return { allowedMs: workers * MOST_SAVED_MS, asOfMs: nowMs };
}

export function accrue(headroom: Headroom, workers: number, nowMs: number): Headroom {
  const gainedMs = Math.max(0, nowMs - headroom.asOfMs) * workers * TARGET_UTILISATION;
  return { allowedMs: Math.min(workers * MOST_SAVED_MS, headroom.allowedMs + gainedMs), asOfMs: Math.max(nowMs, headroom.asOfMs) };
}

/** @param workMs negative to give back what was paid for but not used. */
export function pay(headroom: Headroom, workers: number, workMs: number): Headroom {
  return { ...headroom, allowedMs: Math.max(-workers * MOST_OWED_MS, headroom.allowedMs - workMs) };
}

export function affords(headroom: Headroom, workMs: number): boolean {
  return headroom.allowedMs >= workMs;
}
