/**
 * The server behind the edge: what is known of it, and how a request gets there. Its state is an isolate's, and so is shared by requests
 * that know nothing of each other: what one waits for is never left to another.
 *
 * @module
 */
import { MAX_BUDGET_MS } from '../schema/budget.js';
import { routeAnswerSchema } from '../schema/route.js';
import type { Logger } from '../routes/context.js';
import { REFERENCE, type TierForecast } from './forecast.js';
import type { Recent } from '../router/recent.js';
import { cautiousMs, measured, UNMEASURED } from './network.js';
import type { View } from './place.js';

export type Send = (url: string, init: RequestInit) => Promise<Response>;

export interface OriginParts {
  readonly url: string;
  /** `fetch`, or that of a service binding. */
  readonly send: Send;
  /** A key of the origin's, for what the edge itself asks and for clients that show none. */
  readonly key: string | undefined;
  readonly nowMs: () => number;
  readonly log: Logger;
}

export interface Forwarded {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: object;
}

/** Between two questions, while there are requests. */
const ASK_EVERY_MS = 1_000;
const ASK_TIMEOUT_MS = 2_000;
/** What was said so long ago says nothing of now. */
const STALE_MS = 10_000;

export class Origin {
  readonly #parts: OriginParts;
  #network: Recent = UNMEASURED;
  #reachable = true;
  #askedAtMs = -Infinity;
  #told: { readonly atMs: number; readonly tiers: readonly TierForecast[] } | undefined;

  constructor(parts: OriginParts) {
    this.#parts = parts;
  }

  get view(): View {
    const isFresh = this.#told !== undefined && this.#parts.nowMs() - this.#told.atMs < STALE_MS;
    return { reachable: this.#reachable, networkMs: cautiousMs(this.#network), forecasts: isFresh ? this.#told?.tiers : undefined };
  }

  /** Asks, unless it was asked within the second, what its tiers would take, and learns by it how far away it is and whether it is there. Never rejects. */
  async ask(): Promise<void> {
    const { nowMs } = this.#parts;
    const startMs = nowMs();
    if (startMs - this.#askedAtMs < ASK_EVERY_MS) return;
    this.#askedAtMs = startMs;
    const body = { model: 'stlm-auto', prompt: REFERENCE.prompt, max_tokens: REFERENCE.bytes, latency_budget_ms: MAX_BUDGET_MS };
    try {
      const response = await this.#post({ path: '/v1/route', headers: {}, body }, AbortSignal.timeout(ASK_TIMEOUT_MS));
      if (!response.ok) {
        await response.body?.cancel();
        throw new Error(`it answered ${response.status}`);
      }
      const { tiers } = routeAnswerSchema.parse(await response.json());
      this.#network = measured(this.#network, nowMs() - startMs);
      this.#told = { atMs: nowMs(), tiers };
      this.#reachable = true;
    } catch (error) {
      this.lose(error);
    }
  }

  /** Until it answers a question no request that could be answered elsewhere waits for it. */
  lose(error: unknown): void {
    if (this.#reachable) this.#parts.log.warn({ error: error instanceof Error ? error.message : String(error) }, 'the origin cannot be reached');
    this.#reachable = false;
  }

  /** Rejects as `fetch` does. */
  async forward(request: Forwarded, signal: AbortSignal): Promise<Response> {
    const startMs = this.#parts.nowMs();
    const response = await this.#post(request, signal);
    // Of an answer in one piece it says how long it took: the rest was the way.
    const processingMs = Number(response.headers.get('openai-processing-ms') ?? Number.NaN);
    if (Number.isFinite(processingMs)) this.#network = measured(this.#network, Math.max(0, this.#parts.nowMs() - startMs - processingMs));
    return response;
  }

  #post({ path, headers, body }: Forwarded, signal: AbortSignal): Promise<Response> {
    const { url, send, key } = this.#parts;
    const own = { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) };
    const passed = Object.fromEntries(Object.entries(headers).filter((header): header is [string, string] => header[1] !== undefined));
    return send(`${url}${path}`, { method: 'POST', headers: { ...own, ...passed }, body: JSON.stringify(body), signal, redirect: 'manual' });
  }
}
