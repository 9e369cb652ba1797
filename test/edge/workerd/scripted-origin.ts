/** The server behind the edge as a service binding: answers as it is told to, and remembers what it was asked. */
import type { Bindings } from '../../../functions/entries/workerd.js';

export interface Asked {
  readonly path: string;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
  readonly signal: AbortSignal;
}

type Answer = (asked: Asked) => Response | Promise<Response>;

/** What each tier would take of the reference request there. */
const TIERS = { 'stlm-10m': 10, 'stlm-50m': 40, 'stlm-100m': 80 };

export class ScriptedOrigin {
  readonly asked: Asked[] = [];
  answer: Answer = ({ body }) => Response.json({ tier: 'stlm-100m', budget: body['latency_budget_ms'] }, { headers: { 'x-stlm-model': 'stlm-100m' } });
  /** To questions about its tiers. */
  forecast: Answer = () => Response.json(route());

  readonly binding: NonNullable<Bindings['ORIGIN']> = {
    fetch: async (url, init) => {
      const request = new Request(url, init);
      const asked = { path: new URL(url).pathname, headers: request.headers, body: (await request.json()) as Record<string, unknown>, signal: init.signal as AbortSignal };
      this.asked.push(asked);
      return asked.path === '/v1/route' ? this.forecast(asked) : this.answer(asked);
    },
  };

  /** Requests for text. */
  get texts(): readonly Asked[] {
    return this.asked.filter(({ path }) => path !== '/v1/route');
  }
}

/** @param slower by so much. */
export function route(slower = 1) {
  const tiers = Object.entries(TIERS).map(([tier, ms]) => ({
    tier,
    verdict: 'fits',
    warm: true,
    wait_ms: 0,
    load_ms: 0,
    prefill_ms: slower * ms,
    decode_ms: slower * ms,
    predicted_ms: slower * ms * 2.5,
    predicted_first_byte_ms: slower * ms,
    planned_bytes: 128,
  }));
  const decided = { outcome: 'admitted', tier: 'stlm-100m', reason: 'fits', policy: 'budget-first', budget_ms: 600_000, budget_source: 'latency_budget_ms', predicted_ms: slower * 200 };
  return { object: 'route', ...decided, tiers };
}

export function refusal(status: number, code: string): Response {
  return Response.json({ error: { message: 'no', type: 'server_error', param: null, code } }, { status });
}
