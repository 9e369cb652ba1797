/**
 * Which texts a worker's next run is for. The text whose deadline comes first is served; others of its tier decode in the same run as
 * long as nobody loses by it: runs are then longer for the first, and cost the others a fraction of what they would alone.
 *
 * @module
 */

export interface Waiting {
  /** Infinity: whenever nothing else is waiting. */
  readonly deadlineMs: number;
  /** All that is left of it, alone; 0 if unknown. */
  readonly aloneMs: number;
  /** Undefined: it shares no run. */
  readonly shares: Sharing | undefined;
}

export interface Sharing {
  readonly tier: string;
  /** Texts in one of its runs, at most. */
  readonly most: number;
  /** Reading that must come before it can share; 0: it can. */
  readonly readMs: number;
  /** Decode runs left. */
  readonly runs: number;
  /** What a decode run of so many of the tier takes as often as not, and what it hardly ever exceeds. */
  readonly likelyMs: (texts: number) => number;
  readonly cautiousMs: (texts: number) => number;
}

/**
 * @param waiting earliest deadline first; of equals, the one that has waited longest.
 * @returns the first alone; or several of the first's tier that decode together; or the one of them that must read before they can.
 */
export function chooseRun<W extends Waiting>(waiting: readonly [W, ...W[]], nowMs: number): readonly W[] {
  const [first] = waiting;
  if (first.shares === undefined) return [first];
  const { tier, most } = first.shares;
  const mates = waiting.filter((each) => each.shares?.tier === tier && (each === first || isDue(each.shares, first))).slice(0, most);
  for (let texts = mates.length; texts > 1; texts -= 1) {
    const together = mates.slice(0, texts);
    if (!isHarmless(together, waiting, nowMs)) continue;
    const unread = together.find(({ shares }) => shares!.readMs > 0);
    return unread === undefined ? together : [unread];
  }
  return [first];
}

/** Without a deadline nothing bounds how long a text that decodes may be kept waiting by others that read: they take turns instead. */
function isDue({ readMs }: Sharing, first: Waiting): boolean {
  return first.deadlineMs < Infinity || (readMs === 0 && first.shares!.readMs === 0);
}

/**
 * Whether everybody, sharing or not, still ends before its deadline or no later than if each ran alone in order, and whoever is in
 * the next run still has time for one so long.
 */
function isHarmless(together: readonly Waiting[], waiting: readonly Waiting[], nowMs: number): boolean {
  const { likelyMs, cautiousMs } = together[0]!.shares!;
  const runMs = likelyMs(together.length);
  const longestRunMs = cautiousMs(together.length);
  const readMs = together.reduce((sum, { shares }) => sum + shares!.readMs, 0);
  const sharing = new Set(together);
  let aloneMs = 0;
  let othersMs = 0;
  let sharedMs = 0;
  for (const each of waiting) {
    aloneMs += each.aloneMs;
    if (sharing.has(each)) {
      sharedMs = Math.max(sharedMs, each.shares!.runs * runMs);
      if (nowMs + readMs + longestRunMs > each.deadlineMs) return false;
    } else {
      othersMs += each.aloneMs;
    }
    const togetherMs = readMs + othersMs + sharedMs;
    if (nowMs + togetherMs > each.deadlineMs && togetherMs > aloneMs) return false;
  }
  return true;
}
