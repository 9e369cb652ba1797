/**
 * What has been admitted of late, by how tight it was: what a request must expect to be overtaken by. A worker serves the earliest
 * deadline first, so work that arrives later with less time left goes ahead of what is there, and nothing that is known at admission
 * tells when. Its rate does.
 */
export interface Traffic {
  /** Of each class of budgets, decayed: how many were admitted, their work, and its square. */
  readonly counts: readonly number[];
  readonly workMs: readonly number[];
  readonly squaredMs: readonly number[];
  /** How much time the sums stand for; grows to `MEMORY_MS`. */
  readonly spanMs: number;
  readonly asOfMs: number;
}

/** Load changes within seconds; so many of them are remembered. */
const MEMORY_MS = 10_000;
/** Class k holds budgets from `TIGHTEST_MS` x 2^(k/2) to the next; the first and the last hold what is beyond. */
const TIGHTEST_MS = 10;
const PER_OCTAVE = 2;
const CLASSES = 24;
/** However much comes, the request gets on. */
const MOST_SHARE = 0.95;
/** Steps in which the future of a request is followed. */
const STEPS = 24;

export function noTraffic(nowMs: number): Traffic {
  const none = Array.from({ length: CLASSES }, () => 0);
  return { counts: none, workMs: none, squaredMs: none, spanMs: 0, asOfMs: nowMs };
}

export function arrive(traffic: Traffic, nowMs: number, budgetMs: number, workMs: number): Traffic {
  const passedMs = Math.max(0, nowMs - traffic.asOfMs);
  const kept = Math.exp(-passedMs / MEMORY_MS);
  const own = classOf(budgetMs);
  const plus = (sums: readonly number[], more: number) => sums.map((sum, index) => sum * kept + (index === own ? more : 0));
  return {
    counts: plus(traffic.counts, 1),
    workMs: plus(traffic.workMs, workMs),
    squaredMs: plus(traffic.squaredMs, workMs ** 2),
    spanMs: MEMORY_MS + (traffic.spanMs - MEMORY_MS) * kept,
    asOfMs: nowMs,
  };
}

function classOf(budgetMs: number): number {
  return Math.min(CLASSES - 1, Math.max(0, Math.floor(PER_OCTAVE * Math.log2(budgetMs / TIGHTEST_MS))));
}

export interface Interruption {
  /** Time that work yet to come takes before the request is done: as often more as less. Nothing, while most see nobody come. */
  readonly medianMs: number;
  readonly deviationMs: number;
}

/**
 * @param neededMs what the request waits for and needs itself, were nobody to come.
 * @param leftMs until its deadline; whoever comes with less left then goes ahead.
 */
export function interruption(traffic: Traffic, workers: number, nowMs: number, neededMs: number, leftMs: number): Interruption {
  const kept = Math.exp(-Math.max(0, nowMs - traffic.asOfMs) / MEMORY_MS);
  // Before much has been seen, a single arrival is no rate.
  const spanMs = Math.max(MEMORY_MS / 2, MEMORY_MS + (traffic.spanMs - MEMORY_MS) * kept) / kept;
  const stepMs = Math.min(leftMs, neededMs * 8) / STEPS;
  let doneMs = 0;
  let atMs = 0;
  let comers = 0;
  let variance = 0;
  for (let step = 0; step < STEPS && doneMs < neededMs; step += 1) {
    const tighter = tighterThan(traffic, leftMs - atMs);
    const perMs = 1 / spanMs / workers;
    const share = Math.min(MOST_SHARE, tighter.workMs * perMs);
    const passedMs = Math.min(stepMs, (neededMs - doneMs) / (1 - share));
    atMs += passedMs;
    doneMs += passedMs * (1 - share);
    comers += tighter.count * perMs * passedMs;
    // While one is served more come: each keeps the request waiting for all that follows from it.
    variance += (tighter.squaredMs * perMs * passedMs) / (1 - share) ** 2;
  }
  // The median of a Poisson count is at least its mean less ln 2.
  const medianShare = comers > 0 ? Math.max(0, 1 - Math.LN2 / comers) : 0;
  return { medianMs: medianShare * (atMs - doneMs), deviationMs: Math.sqrt(variance) };
}

/** Of budgets below `budgetMs`; its own class counts as far as it reaches in. */
function tighterThan(traffic: Traffic, budgetMs: number): { count: number; workMs: number; squaredMs: number } {
  const at = Math.min(CLASSES, Math.max(0, PER_OCTAVE * Math.log2(budgetMs / TIGHTEST_MS)));
  const sum = { count: 0, workMs: 0, squaredMs: 0 };
  for (let index = 0; index < at; index += 1) {
    const share = Math.min(1, at - index);
    sum.count += share * (traffic.counts[index] ?? 0);
    sum.workMs += share * (traffic.workMs[index] ?? 0);
    sum.squaredMs += share * (traffic.squaredMs[index] ?? 0);
  }
  return sum;
}
