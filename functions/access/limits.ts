/**
 * How much a client may ask for in a minute. Counted by rate-limiter-flexible, in this process's memory unless it is given another store.
 *
 * @module
 */
import type { RateLimiterAbstract, RateLimiterRes } from 'rate-limiter-flexible';
import type { Key } from '../schema/keys.js';
import type { Client } from './keys.js';

export type Measure = 'requests' | 'tokens';

/** What is left of a minute's allowance. */
export interface Allowance {
  readonly measure: Measure;
  readonly limit: number;
  readonly remaining: number;
  /** Until the whole limit is there again. */
  readonly resetMs: number;
  /** What was asked for is inside it. */
  readonly granted: boolean;
}

/** `points` in `duration` seconds. */
export interface LimitOptions {
  readonly keyPrefix: string;
  readonly points: number;
  readonly duration: number;
}

export type NewLimiter = (options: LimitOptions) => RateLimiterAbstract | Promise<RateLimiterAbstract>;

/** Imported where a key has a limit: the package is forty files. */
const inMemory: NewLimiter = async (options) => new (await import('rate-limiter-flexible')).RateLimiterMemory(options);

const MINUTE_S = 60;

interface Limit {
  readonly limit: number;
  readonly limiter: RateLimiterAbstract | Promise<RateLimiterAbstract>;
}

export class Limits {
  readonly #limits = new Map<string, Limit>();
  readonly #newLimiter: NewLimiter;

  constructor(keys: readonly Key[], newLimiter = inMemory) {
    this.#newLimiter = newLimiter;
    for (const { name, requests_per_minute: requests, tokens_per_minute: tokens } of keys) {
      if (requests !== undefined) this.#add('requests', name, requests);
      if (tokens !== undefined) this.#add('tokens', name, tokens);
    }
  }

  /** Takes `points` from the allowance, all or none; undefined if the client has no such limit. */
  async take(measure: Measure, { name }: Client, points: number): Promise<Allowance | undefined> {
    const found = this.#limits.get(`${measure} ${name}`);
    if (found === undefined) return undefined;
    const { limit } = found;
    const limiter = await found.limiter;
    // Asking for more than is left must not use up what is left.
    const before = (await limiter.get(name))?.consumedPoints ?? 0;
    if (before + points > limit) return this.#allowance(measure, limit, before, await limiter.get(name), false);
    try {
      const after = await limiter.consume(name, points);
      return this.#allowance(measure, limit, after.consumedPoints, after, true);
    } catch (refused) {
      // Who is refused is told so by an object that is no error.
      if (refused instanceof Error) throw refused;
      // Somebody took it in between; the limiter has counted this one all the same.
      const after = await limiter.reward(name, points);
      return this.#allowance(measure, limit, after.consumedPoints, after, false);
    }
  }

  /** What was taken for nothing: the server had no time for the request. */
  async giveBack(measure: Measure, { name }: Client, points: number): Promise<void> {
    const limiter = await this.#limits.get(`${measure} ${name}`)?.limiter;
    await limiter?.reward(name, points);
  }

  #allowance(measure: Measure, limit: number, consumed: number, state: RateLimiterRes | null, granted: boolean): Allowance {
    return { measure, limit, remaining: Math.max(0, limit - consumed), resetMs: state?.msBeforeNext ?? 0, granted };
  }

  #add(measure: Measure, name: string, limit: number): void {
    const limiter = this.#newLimiter({ keyPrefix: measure, points: limit, duration: MINUTE_S });
    this.#limits.set(`${measure} ${name}`, { limit, limiter });
  }
}
