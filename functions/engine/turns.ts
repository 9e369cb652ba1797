/**
 * Whose run is next in an isolate. Its one thread is shared by requests each of which drives its own text, since what one request waits
 * for must not be left to another that may be gone: so there is no queue with a loop of its own, and no lock that a lost request could
 * keep. Everybody looks whether somebody more urgent wants to run, and waits if so.
 *
 * @module
 */

/** A request that is gone does not say so. One that wants to run looks around every millisecond, between runs of the others. */
const LOST_MS = 250;

export interface Turn {
  /** Resolves when this text is the most urgent of those that want to run. */
  take(): Promise<void>;
  /** It does not want to run just now, or no more. */
  yield(): void;
}

interface Wanting {
  readonly deadlineMs: number;
  seenAtMs: number;
}

export class Turns {
  /** In order of their last run: of equal deadlines, the one that has waited longest goes first. */
  readonly #wanting = new Set<Wanting>();
  readonly #nowMs: () => number;
  readonly #pause: () => Promise<void>;

  /** @param pause waits a moment, in the request that calls it. */
  constructor(nowMs: () => number, pause: () => Promise<void>) {
    this.#nowMs = nowMs;
    this.#pause = pause;
  }

  /** Infinity: whenever nobody else wants to run. */
  join(deadlineMs: number): Turn {
    const own = { deadlineMs, seenAtMs: this.#nowMs() };
    return {
      take: async () => {
        this.#wanting.delete(own);
        this.#wanting.add(own);
        for (;;) {
          own.seenAtMs = this.#nowMs();
          if (this.#mostUrgent() === own) return;
          await this.#pause();
        }
      },
      yield: () => {
        this.#wanting.delete(own);
      },
    };
  }

  #mostUrgent(): Wanting | undefined {
    const lostBeforeMs = this.#nowMs() - LOST_MS;
    let found: Wanting | undefined;
    for (const each of this.#wanting) {
      if (each.seenAtMs < lostBeforeMs) this.#wanting.delete(each);
      else if (found === undefined || each.deadlineMs < found.deadlineMs) found = each;
    }
    return found;
  }
}
