/**
 * What a request looks like to the router, and what the router answers.
 *
 * Every instant is in milliseconds on one clock, `performance.timeOrigin + performance.now()`, read by the caller and passed in.
 */
import type { GenerateResult, Placement } from '../engine/types.js';
import type { LengthClass } from './length.js';

/** Runs whichever tier is the largest that fits. */
export const AUTO = 'auto';

export interface RouteRequest {
  /** The request's id, for the log only. */
  readonly id: string;
  /** A tier's id, or `AUTO`. The caller has already refused ids that no manifest carries. */
  readonly tier: string;
  /** Those that `AUTO` may choose from, as not every tier can do everything; all if absent. */
  readonly eligible?: readonly string[];
  /** When the request's first byte reached the server; the budget runs from here. */
  readonly arrivalMs: number;
  /** From arrival to the last byte of text. */
  readonly budgetMs: number;
  /** From arrival to the first byte of text; undefined: no bound of its own. */
  readonly firstByteBudgetMs?: number;
  readonly promptBytes: number;
  /** Of every tier that may run it: the patches that tier would read of `[bod] + prompt`, at most its context. */
  readonly promptPatches: Readonly<Record<string, number>>;
  /** Of these, by tier and worker, such as need not be read again because a prompt before began alike; none if absent. */
  readonly cachedPatches?: Readonly<Record<string, readonly number[]>>;
  /** Patches after which the prompt is scored: all are read for it, whatever the context holds or is cached; not at all if absent. */
  readonly scoredPatches?: number;
  /** At most this many bytes of text per generation. */
  readonly maxBytes: number;
  /** And at most so many words, if that is bounded. */
  readonly maxWords?: number;
  /** It ends where the context does, rather than slide it. */
  readonly endsWithContext?: boolean;
  /** What its length is foretold from. */
  readonly lengthClass: LengthClass;
  /** Texts to generate for this one answer (prompts x n), all on one placement. */
  readonly generations: number;
  /** They, and others of their tier, may decode in the same runs: the client named no seed. */
  readonly sharesRuns: boolean;
}

/** What one tier would do with the request, on the worker that would serve it best. */
export interface TierForecast {
  readonly tier: string;
  readonly worker: number;
  readonly warm: boolean;
  /** The parts of the expected time. */
  readonly waitMs: number;
  readonly loadMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** From arrival to the last byte of the planned text: expected, and at the p95. */
  readonly expectedMs: number;
  readonly predictedMs: number;
  /** From arrival to the first byte, at the p95. */
  readonly predictedFirstByteMs: number;
  /** Text the forecast is for: `maxBytes`, or fewer where this tier is known to stop earlier (p95). */
  readonly plannedBytes: number;
  readonly verdict: TierVerdict;
}

/**
 * `fits`: all planned bytes inside the budget at the p95. `truncates`: text begins in time and ends at the deadline, with at least
 * half of what an idle server would give. `cold`: would do better were it loaded. `late`: neither. `crowds`: would take time that
 * is promised to others. `unavailable`: quarantined, or cold and without memory to load it.
 */
export type TierVerdict = 'fits' | 'truncates' | 'cold' | 'late' | 'crowds' | 'unavailable';

/**
 * `fits`: the largest tier there is. `budget`: a larger tier would not fit the budget even alone and warm. `load`: a larger one
 * would fit an idle server. `warming`: a larger one would fit but is still cold. `policy`: a larger one would fit, and the policy
 * wants it no more than this one. `pinned`: the request named it. `truncates`: no tier can finish; the text ends at the deadline.
 * At the edge, of a larger tier at the origin: `origin_down`, it cannot be reached; `origin_slow`, it did not begin in time.
 */
export type RouteReason = 'fits' | 'budget' | 'load' | 'warming' | 'policy' | 'pinned' | 'truncates' | 'origin_down' | 'origin_slow';

export interface Decision {
  readonly kind: 'admitted';
  /** Names this admission in the ledger. */
  readonly ticket: number;
  readonly placement: Placement;
  readonly reason: RouteReason;
  /** From arrival to the last byte, cut at the budget: expected, and at the p95. */
  readonly expectedMs: number;
  readonly predictedMs: number;
  /** From arrival to the first byte, at the p95. */
  readonly predictedFirstByteMs: number;
  /** What the engine gets as its deadline: arrival + budget, less what it takes to send the last byte off. */
  readonly deadlineAtMs: number;
  /** Ascending by size, every tier that was considered. */
  readonly tiers: readonly TierForecast[];
}

export type Refusal =
  /** Not even one patch of the smallest tier, on an idle and warm server, fits: 422. */
  | { readonly kind: 'infeasible'; readonly cheapestMs: number; readonly tiers: readonly TierForecast[] }
  /** It would fit an idle server: 429. */
  | { readonly kind: 'overloaded'; readonly retryAfterMs: number; readonly tiers: readonly TierForecast[] }
  /** It would fit a warm server: 503. */
  | { readonly kind: 'loading'; readonly retryAfterMs: number; readonly tiers: readonly TierForecast[] }
  /** Every tier it may use is quarantined, or finds no memory: 503. */
  | { readonly kind: 'unavailable'; readonly tiers: readonly TierForecast[] };

/** How one generation of an admitted request ended. */
export type Outcome =
  | { readonly kind: 'finished'; readonly result: GenerateResult }
  /** The engine threw, or the stream was dropped before its result. */
  | { readonly kind: 'failed' };

export interface RouterLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface Router {
  /** The name of what chooses for requests whose tier is open. */
  readonly policy: string;
  /** Admits the request and books its work, or refuses it. An admitted one must be observed `generations` times. */
  route(request: RouteRequest): Decision | Refusal;
  /** The same answer without booking anything, for `POST /v1/route`. */
  explain(request: RouteRequest): Decision | Refusal;
  /** One more patch has been decoded for it, of so many bytes; keeps the ledger's view of remaining work honest. */
  progress(decision: Decision, bytes: number): void;
  /** Frees the booking and corrects the predictor. Call it once per generation, however it ended. */
  observe(decision: Decision, outcome: Outcome): void;
  /** The share of the workers' near future that nobody has been promised yet, 0 to 1: what a balancer should know of this server. */
  slack(): number;
  /**
   * Loads a tier into a worker, at once or as soon as nothing is booked there, and measures it the first time. Never rejects: a failed
   * load is logged and the tier stays cold.
   */
  warm(placement: Placement, when?: 'now' | 'idle'): Promise<void>;
  /** As the engine's `widen`, when nothing is booked on the worker; then measures the tier anew. */
  widen(placement: Placement): Promise<void>;
}
