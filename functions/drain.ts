/**
 * Knows what is in flight, so that a server can stop without dropping it.
 *
 * @module
 */

/** One admitted piece of work: its signal aborts when the client leaves, or when draining takes too long. */
export interface Flight {
  readonly signal: AbortSignal;
  /** Nobody wants the rest: ends its compute. */
  stop(): void;
  /** Its compute has ended. */
  land(): void;
}

export class Drain {
  readonly #flights = new Set<AbortController>();
  #leaving = false;
  #draining = false;
  #empty: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  /** Will soon refuse: whoever balances load should send it elsewhere. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** Refuses new work. */
  get draining(): boolean {
    return this.#draining;
  }

  announce(): void {
    this.#leaving = true;
  }

  /**
   * A controller per flight instead of `AbortSignal.any`, which before Node 22 keeps each derived signal alive as long as its
   * longest-lived source.
   */
  takeOff(clientSignal: AbortSignal): Flight {
    const controller = new AbortController();
    const stop = () => controller.abort();
    if (clientSignal.aborted) stop();
    clientSignal.addEventListener('abort', stop, { once: true });
    this.#flights.add(controller);
    return {
      signal: controller.signal,
      stop,
      land: () => {
        clientSignal.removeEventListener('abort', stop);
        this.#flights.delete(controller);
        if (this.#flights.size === 0) this.#onEmpty?.();
      },
    };
  }

  /** From now on no flight should take off. Resolves, for everyone who has called it, when the last one has landed. */
  start(): Promise<void> {
    this.announce();
    this.#draining = true;
    this.#empty ??= new Promise((resolve) => {
      this.#onEmpty = resolve;
      if (this.#flights.size === 0) resolve();
    });
    return this.#empty;
  }

  /** Ends what is still in flight: each text stops before its next run and is answered as far as it got. */
  cut(): void {
    for (const flight of this.#flights) flight.abort();
  }
}
