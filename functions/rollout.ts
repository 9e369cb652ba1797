/**
 * Which release of the models answers a request, while releases come and go: the new one is warm before it gets the first request, the old one
 * goes when its last text has ended, and no more than two are in memory at a time.
 *
 * @module
 */
import type { ReleaseAliases } from './schema/release-aliases.js';

export interface Release {
  readonly id: string;
  fetch(request: Request, environment?: object): Response | Promise<Response>;
  /** No request will come any more. Resolves once its texts have ended and its memory is free. */
  retire(): Promise<void>;
}

interface Served<R> {
  readonly release: R;
  /** Requests that it was given and that are not yet answered; of a stream, whose text has not begun. */
  unanswered: number;
  onAnswered?: () => void;
}

export class Rollout<R extends Release> {
  readonly #start: (id: string) => Promise<R>;
  readonly #random: () => number;
  #stable: Served<R>;
  #canary: { readonly served: Served<R>; share: number } | undefined;
  readonly #retiring = new Set<Served<R>>();
  #following: Promise<void> = Promise.resolve();

  /** @param start loads a release and resolves once it is warm; rejects if it cannot be served. */
  constructor(stable: R, start: (id: string) => Promise<R>, random: () => number = Math.random) {
    this.#stable = { release: stable, unanswered: 0 };
    this.#start = start;
    this.#random = random;
  }

  get stable(): R {
    return this.#stable.release;
  }

  /** Whatever has texts or may get some, the stable one first. */
  get live(): readonly R[] {
    return [this.#stable, ...(this.#canary === undefined ? [] : [this.#canary.served]), ...this.#retiring].map(({ release }) => release);
  }

  /** The canary gets its share of what clients ask; probes and pages are the stable one's. */
  readonly fetch = async (request: Request, environment?: object): Promise<Response> => {
    const canary = this.#canary;
    const served = canary !== undefined && new URL(request.url).pathname.startsWith('/v1/') && this.#random() < canary.share ? canary.served : this.#stable;
    served.unanswered += 1;
    try {
      const response = await served.release.fetch(request, environment);
      response.headers.set('x-stlm-release', served.release.id);
      return response;
    } finally {
      served.unanswered -= 1;
      if (served.unanswered === 0) served.onAnswered?.();
    }
  };

  /** One change after the other. @throws when a release cannot be started; what was served still is. */
  follow(aliases: ReleaseAliases): Promise<void> {
    const following = this.#following.then(() => this.#follow(aliases));
    this.#following = following.catch(() => undefined);
    return following;
  }

  async #follow({ stable, canary }: ReleaseAliases): Promise<void> {
    if (this.#canary !== undefined && this.#canary.served.release.id === stable) {
      // It has proved itself: the one before goes.
      const before = this.#stable;
      this.#stable = this.#canary.served;
      this.#canary = undefined;
      await this.#retire(before);
    }
    // A third in memory would be too many: the canary goes first, and comes back if it is still wanted.
    if (this.#canary !== undefined && (stable !== this.stable.id || this.#canary.served.release.id !== canary?.release)) {
      const before = this.#canary.served;
      this.#canary = undefined;
      await this.#retire(before);
    }
    if (stable !== this.stable.id) {
      const [before, release] = [this.#stable, await this.#start(stable)];
      this.#stable = { release, unanswered: 0 };
      await this.#retire(before);
    }
    if (canary === undefined || canary.release === this.stable.id) return;
    if (this.#canary === undefined) this.#canary = { served: { release: await this.#start(canary.release), unanswered: 0 }, share: canary.share };
    else this.#canary.share = canary.share;
  }

  async #retire(served: Served<R>): Promise<void> {
    this.#retiring.add(served);
    if (served.unanswered > 0) {
      await new Promise<void>((resolve) => {
        served.onAnswered = resolve;
      });
    }
    await served.release.retire();
    this.#retiring.delete(served);
  }
}
