/**
 * Limits that Cloudflare counts, at each of its places, for all isolates there: a Worker's own memory would count for one isolate.
 *
 * @module
 */
import type { Client } from './keys.js';
import type { Allowance, Limits, Measure } from './limits.js';

/** Cloudflare's RateLimit binding. */
export interface RateLimit {
  limit(options: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

const MINUTE_MS = 60_000;

export class BindingLimits implements Pick<Limits, 'take' | 'giveBack'> {
  readonly #binding: RateLimit | undefined;
  readonly #requestsPerMinute: number;

  /**
   * @param binding without one there are no limits.
   * @param requestsPerMinute what it was set to in wrangler.toml: it does not say.
   */
  constructor(binding: RateLimit | undefined, requestsPerMinute: number) {
    this.#binding = binding;
    this.#requestsPerMinute = requestsPerMinute;
  }

  /** It counts requests, one at a time, and tells only when there were too many. */
  async take(measure: Measure, { name }: Client): Promise<Allowance | undefined> {
    if (this.#binding === undefined || measure !== 'requests') return undefined;
    const { success } = await this.#binding.limit({ key: name });
    return success ? undefined : { measure, limit: this.#requestsPerMinute, remaining: 0, resetMs: MINUTE_MS, granted: false };
  }

  /** What was counted there stays counted. */
  async giveBack(): Promise<void> {}
}
