/**
 * Whose run is next in an isolate. Its one thread is shared by requests each of which drives its own text, since what one request waits
 * for must not be left to another that may be gone: so there is no queue with a loop of its own. Everybody looks whether somebody more
 * urgent wants to run, and waits if so.
 *
 * @module
 */

/** A request that is gone does not say so. One that wants to run looks around every millisecond, between runs of the others. */
const LOST_MS = 250;

export interface Turn {
  /** Resolves when nobody runs and this text is the most urgent of those that want to: from then on it runs, until `release`. */
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
  /** A run is made of many steps, though no event comes between them. */
  #isRunning = false;
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
          if (!this.#isRunning && this.#mostUrgent() === own) break;
          await this.#pause();
        }
        this.#isRunning = true;
      },
      yield: () => {
        this.#wanting.delete(own);
      },
    };
  }

  /** The run is over, or there was none to make. To be called before anything else is waited for: whoever waits may be gone by then. */
  release(): void {
    this.#isRunning = false;
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
