/**
 * Whose run is next in an isolate. Its one thread is shared by requests each of which drives its own text, since what one request waits
 * for must not be left to another that may be gone: so there is no queue with a loop of its own. Everybody looks whether somebody more
 * urgent wants to run, and waits if so.
 *
 * @module
 */

/** A request that is gone does not say so. One that wants to run looks around every millisecond, between runs of the others. */
const LOST_MS = 1_000;

export interface Turn {
  /** Resolves when nobody runs and this text is the most urgent of those that want to: from then on it runs. Or when there is nothing left to run for. */
  take(isOver: () => boolean): Promise<void>;
  /** It made no run after all. */
  pass(): void;
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
  #running: Wanting | undefined;
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
      take: async (isOver) => {
        this.#wanting.delete(own);
        while (!isOver()) {
          own.seenAtMs = this.#nowMs();
          // It may have been taken for lost.
          this.#wanting.add(own);
          if (this.#running === undefined && this.#mostUrgent() === own) {
            this.#running = own;
            return;
          }
          await this.#pause();
        }
      },
      pass: () => {
        if (this.#running === own) this.#running = undefined;
      },
      yield: () => {
        this.#wanting.delete(own);
      },
    };
  }

  /** A run is over. To be called before anything else is waited for: whoever waits may be gone by then. */
  ran(): void {
    this.#running = undefined;
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
