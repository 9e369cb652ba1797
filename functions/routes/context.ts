/** What every route is made from. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { routePath } from 'hono/route';
import type { Client } from '../access/keys.js';
import type { Measure } from '../access/limits.js';
import type { Drain } from '../drain.js';
import type { EnergyMeter } from '../energy/energy.js';
import type { Engine } from '../engine/types.js';
import type { GrammarCompiler } from '../grammar/grammars.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Readiness } from '../readiness.js';
import type { BudgetDefaults } from '../router/budget.js';
import type { Decision, Router } from '../router/types.js';
import type { Aliases } from '../schema/model-name.js';
import type { RequestSpan, Tracer } from '../tracing/tracer.js';
import type { Access } from './access.js';
import type { Elsewhere } from './elsewhere.js';
import type { Arrival } from './plan.js';

/** Structured fields first, as pino has it. Never a prompt or a completion among them. */
export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface AppDeps {
  readonly engine: Engine;
  readonly router: Router;
  readonly aliases: Aliases;
  /** Where requests for text may be answered as well; only here if absent. */
  readonly elsewhere?: Elsewhere;
  readonly budgetDefaults: BudgetDefaults;
  readonly access: Access;
  /** Of pages that may ask besides the server's own; none if absent. */
  readonly corsOrigins?: readonly string[];
  readonly drain: Drain;
  readonly readiness: Readiness;
  readonly grammars: GrammarCompiler;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Absent: traces are continued, and none is recorded. */
  readonly tracer?: Tracer;
  readonly energy: EnergyMeter;
  /** Epoch milliseconds, as `performance.timeOrigin + performance.now()`. */
  readonly nowMs: () => number;
  readonly newId: () => string;
}

export interface AppEnv {
  Bindings: {
    /** What the platform leaves a request before it ends it, in milliseconds from its arrival; absent where nothing does. */
    limitMs?: number;
  };
  Variables: {
    requestId: string;
    arrivalMs: number;
    /** Its place in a trace; set under `/v1`. */
    span?: RequestSpan;
    /** Who asks; set under `/v1`. */
    client: Client;
    /** What it has taken of the client's limits. */
    spent?: readonly { readonly measure: Measure; readonly points: number }[];
    /** For the log. */
    decision?: Decision;
    /** The answer is another server's, and nobody here will know when it has ended. */
    ofElsewhere?: boolean;
  };
}

export type App = OpenAPIHono<AppEnv>;

export function arrivalOf(c: Context<AppEnv>): Arrival {
  return { id: c.var.requestId, arrivalMs: c.var.arrivalMs, limitMs: c.env?.limitMs, header: (name) => c.req.header(name) };
}

/** Counts an answer, and writes a line about it. 499 is nginx's number for a client that left before it. */
export function logAnswer(c: Context<AppEnv>, { logger, metrics, nowMs }: Pick<AppDeps, 'logger' | 'metrics' | 'nowMs'>): void {
  const status = c.req.raw.signal.aborted ? 499 : c.res.status;
  const [atMs, route] = [nowMs(), routePath(c, -1)];
  const ms = Math.round(atMs - c.var.arrivalMs);
  metrics.exchanged({ method: c.req.method, route, status, ms });
  const { requestId, decision, span } = c.var;
  span?.finished({ route, status, atMs });
  // The names by which log stores find a line's trace.
  const traced = span && { trace_id: span.context.traceId, span_id: span.context.spanId };
  const routed = decision && { tier: decision.placement.tier, reason: decision.reason, predictedMs: Math.round(decision.predictedMs) };
  const client = c.var.client?.name;
  logger.info({ requestId, ...traced, ...(client !== undefined && { client }), method: c.req.method, path: c.req.path, status, ms, ...routed }, 'answered');
}
