/**
 * Knows what is in flight, so that a server can stop without dropping it.
 *
 * @module
 */

/** One admitted piece of work: its signal aborts when the client leaves, or when draining takes too long. */
export interface Flight {
  readonly signal: AbortSignal;
  /** The work is done, or dropped: stops its compute if any is left. */
  land(): void;
}

export class Drain {
  readonly #flights = new Set<AbortController>();
  #draining = false;
  #onEmpty: (() => void) | undefined;

  get draining(): boolean {
    return this.#draining;
  }

  /**
   * A controller per flight instead of `AbortSignal.any`, which before Node 22 keeps each derived signal alive as long as its
   * longest-lived source.
   */
  takeOff(clientSignal: AbortSignal): Flight {
    const controller = new AbortController();
    const leave = () => controller.abort();
    if (clientSignal.aborted) leave();
    clientSignal.addEventListener('abort', leave, { once: true });
    this.#flights.add(controller);
    return {
      signal: controller.signal,
      land: () => {
        clientSignal.removeEventListener('abort', leave);
        controller.abort();
        this.#flights.delete(controller);
        if (this.#flights.size === 0) this.#onEmpty?.();
      },
    };
  }

  /** From now on no flight should take off. Resolves when the last one has landed. */
  start(): Promise<void> {
    this.#draining = true;
    if (this.#flights.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  /** Ends what is still in flight: each text stops before its next run and is answered as far as it got. */
  cut(): void {
    for (const flight of this.#flights) flight.abort();
  }
}
