/**
 * Answers each request at the edge or at the origin. What the origin does not begin in time, refuses for its load, or cannot be asked, is
 * written here inside the same budget, and the answer says why.
 *
 * @module
 */
import { z } from 'zod';
import { refused } from '../routes/api-error.js';
import type { Logger } from '../routes/context.js';
import type { Elsewhere, Here, Movable } from '../routes/elsewhere.js';
import { AUTO_MODEL } from '../routes/plan.js';
import { AUTO, type Decision, type Refusal, type RouteReason, type Router } from '../router/types.js';
import type { Origin } from './origin.js';
import { choosePlace } from './place.js';

export interface EitherParts {
  readonly origin: Origin;
  readonly router: Pick<Router, 'explain'>;
  readonly nowMs: () => number;
  readonly pause: (ms: number) => Promise<void>;
  readonly log: Logger;
}

type Verdict =
  | { readonly kind: 'answer'; readonly response: Response }
  /** It has no time for it, and says so. */
  | { readonly kind: 'refusal'; readonly reason: RouteReason; readonly response: Response; readonly cheapestMs: number | undefined }
  | { readonly kind: 'failure' };

/** The codes of those refusals which only say that there is no time. */
const REFUSALS: Readonly<Record<string, RouteReason>> = { latency_budget_infeasible: 'budget', overloaded: 'load', loading: 'load', draining: 'origin_down', worker_crashed: 'origin_down' };
const refusalFields = z.object({ code: z.string(), cheapest_feasible_ms: z.number().optional() });
/** As JSON, and as RFC 9457 has it. */
const refusalSchema = z.union([z.object({ error: refusalFields }).transform(({ error }) => error), refusalFields]);

/** An origin that answers at all has answered by then. */
const GRACE_MS = 1_000;
/** Of what is left of a budget, the origin has between so much and so much before the edge begins by itself. */
const LEAST_SHARE = 0.5;
const MOST_SHARE = 0.875;
/** With just the time that it was foretold left, a text would be refused for whatever came between. */
const NEED = 2;

export class EitherPlace implements Elsewhere {
  readonly #parts: EitherParts;

  constructor(parts: EitherParts) {
    this.#parts = parts;
  }

  async answer(request: Movable, here: Here): Promise<Response> {
    const { origin, router, nowMs, pause } = this.#parts;
    const { route } = request.plan;
    const leftMs = route.arrivalMs + route.budgetMs - nowMs();
    const forecast = router.explain(route);
    const { view } = origin;
    const place = choosePlace(route, leftMs, forecast, view);
    if (place.where === 'here') return here(place.reason);

    const forwarding = new AbortController();
    const stop = () => forwarding.abort();
    request.flight.signal.addEventListener('abort', stop, { once: true });
    if (request.flight.signal.aborted) stop();
    let isThere = false;
    const coming = this.#forward(request, { ...view, ...place }, forwarding.signal).finally(() => (isThere = true));
    void pause(leftMs + GRACE_MS).then(() => isThere || stop());
    try {
      if (forecast.kind !== 'admitted') return await this.#settle(await coming, request, forecast, here);
      const patienceMs = Math.max(LEAST_SHARE * leftMs, Math.min(MOST_SHARE * leftMs, leftMs - NEED * forecast.predictedMs));
      const verdict = await Promise.race([coming, pause(patienceMs).then(() => undefined)]);
      return await (verdict === undefined ? this.#both(request, coming, here, stop) : this.#settle(verdict, request, forecast, here));
    } finally {
      // From here on the answer's own stream ends with its client.
      request.flight.signal.removeEventListener('abort', stop);
    }
  }

  async #settle(verdict: Verdict, { flight, plan }: Movable, forecast: Decision | Refusal, here: Here): Promise<Response> {
    if (verdict.kind === 'failure') return here('origin_down');
    if (verdict.kind === 'refusal' && forecast.kind === 'admitted') {
      void verdict.response.body?.cancel();
      return here(verdict.reason);
    }
    // What is feasible there is not yet feasible from here.
    if (verdict.kind === 'refusal' && verdict.cheapestMs !== undefined) throw refused({ kind: 'infeasible', cheapestMs: verdict.cheapestMs, tiers: [] }, plan.route);
    flight.land();
    return verdict.response;
  }

  /** Writes here as well: what is there first is the answer, and the other is stopped. Rejects with what is refused here, if nothing comes from there. */
  async #both({ flight }: Movable, coming: Promise<Verdict>, here: Here, stop: () => void): Promise<Response> {
    const written = here('origin_slow').then((response) => ({ response, isOurs: true }));
    // Refused here it computes nothing here, whatever comes from there.
    written.catch(() => flight.land());
    const arrived = coming.then((verdict) => (verdict.kind === 'answer' ? { response: verdict.response, isOurs: false } : written));
    const { response, isOurs } = await Promise.any([written, arrived]).catch(() => written);
    if (isOurs) {
      stop();
      this.#parts.origin.lose(new Error('it did not answer in time'));
    } else {
      flight.signal.removeEventListener('abort', stop);
      flight.stop();
    }
    return response;
  }

  async #forward({ id, path, header, body, plan }: Movable, { budgetMs, networkMs }: { readonly budgetMs: number; readonly networkMs: number }, signal: AbortSignal): Promise<Verdict> {
    const { origin, log } = this.#parts;
    const spentMs = plan.route.budgetMs - budgetMs;
    const firstByteMs = plan.route.firstByteBudgetMs;
    const forwarded = {
      ...body,
      model: plan.route.tier === AUTO ? AUTO_MODEL : plan.route.tier,
      latency_budget_ms: budgetMs,
      ...(firstByteMs !== undefined && { ttft_budget_ms: Math.max(1, firstByteMs - spentMs) }),
    };
    const passed = ['accept', 'authorization', 'traceparent', 'tracestate'] as const;
    const headers = { ...Object.fromEntries(passed.map((name) => [name, header(name)])), 'x-request-id': id };
    let response: Response;
    try {
      response = await origin.forward({ path, headers, body: forwarded }, signal);
    } catch (error) {
      if (!signal.aborted) origin.lose(error);
      return { kind: 'failure' };
    }
    if (response.ok) return { kind: 'answer', response: passedOn(response, networkMs) };
    const { reason, cheapestMs } = await refusal(response.clone());
    if (reason !== undefined) return { kind: 'refusal', reason, response: passedOn(response, networkMs), cheapestMs: cheapestMs && cheapestMs + spentMs };
    if (response.status < 500 && response.status !== 401) return { kind: 'answer', response: passedOn(response, networkMs) };
    // A key that the client has shown counts here.
    log.error({ requestId: id, status: response.status }, response.status === 401 ? 'the origin does not know the key' : 'the origin failed');
    void response.body?.cancel();
    return { kind: 'failure' };
  }
}

/** Why the origin has no time for a request, and the least that it would need; without a reason it says something else. */
async function refusal(response: Response): Promise<{ readonly reason?: RouteReason | undefined; readonly cheapestMs?: number | undefined }> {
  if (![422, 429, 503].includes(response.status)) return {};
  const { data } = refusalSchema.safeParse(await response.json().catch(() => undefined));
  return data === undefined ? {} : { reason: REFUSALS[data.code], cheapestMs: data.cheapest_feasible_ms };
}

/** Headers that speak of the connection to the origin, or of a body that `fetch` has already decoded. */
const NOT_PASSED_ON = ['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'content-encoding', 'date'];

function passedOn(response: Response, networkMs: number): Response {
  const headers = new Headers(response.headers);
  for (const name of NOT_PASSED_ON) headers.delete(name);
  headers.set('x-stlm-network-ms', networkMs.toFixed(1));
  return new Response(response.body, { status: response.status, headers });
}
