/**
 * Where a request's latency budget comes from. Sources in order of precedence, the first that speaks wins: body, header, model
 * suffix, `Prefer: wait`, the openai SDKs' timeout header, `service_tier`, the deployment's default.
 */
import { MAX_BUDGET_MS } from '../schema/budget.js';

export type BudgetSource =
  | 'latency_budget_ms'
  | 'x-latency-budget-ms'
  | 'model'
  | 'prefer'
  | 'x-stainless-timeout'
  | 'service_tier'
  | 'default'
  /** What the platform leaves, where that is less. */
  | 'platform';

/** The sources that a client writes. */
type BudgetField = Exclude<BudgetSource, 'default' | 'platform'>;

/** A deployment's answer to requests that name no number. */
export interface BudgetDefaults {
  readonly defaultMs: number;
  /** `service_tier: "flex"`: quality first. */
  readonly flexMs: number;
  /** `service_tier: "priority"`: as tight as still gives text. */
  readonly priorityMs: number;
}

export const BUDGET_DEFAULTS: BudgetDefaults = { defaultMs: 1_000, flexMs: 10_000, priorityMs: 100 };

/** What openai's SDK sends when nobody has set a timeout. It is nobody's wish, and would outvote `service_tier` and the default. */
const SDK_DEFAULT_TIMEOUT = '600';

export interface BudgetInput {
  readonly body: { readonly model: string; readonly latency_budget_ms?: unknown; readonly service_tier?: unknown };
  readonly header: (name: string) => string | null | undefined;
}

export interface Budget {
  readonly budgetMs: number;
  readonly source: BudgetSource;
  /** The model's name without its budget suffix. */
  readonly model: string;
}

/** A budget that was asked for but means nothing; `field` is what the client has to correct. */
export class BudgetError extends Error {
  override readonly name = 'BudgetError';
  constructor(
    readonly field: BudgetField,
    message: string,
  ) {
    super(message);
  }
}

const DECIMAL = /^\d+(?:\.\d+)?$/;

/** @throws {BudgetError} when an explicit source (body, header, suffix, service tier) is malformed or out of range. */
export function parseBudget(input: BudgetInput, defaults: BudgetDefaults = BUDGET_DEFAULTS): Budget {
  const { name: model, suffixMs } = splitModel(input.body.model);
  // Also where the body outvotes it: a wrong header is a mistake to be told.
  const header = fromHeader(input.header('x-latency-budget-ms'));
  const found =
    fromBody(input.body.latency_budget_ms) ??
    header ??
    (suffixMs === undefined ? undefined : ({ budgetMs: suffixMs, source: 'model' } as const)) ??
    fromPrefer(input.header('prefer')) ??
    fromStainlessTimeout(input.header('x-stainless-timeout')) ??
    fromServiceTier(input.body.service_tier, defaults);
  return { ...(found ?? { budgetMs: defaults.defaultMs, source: 'default' }), model };
}

/** A platform that ends a request at its own time limit leaves no more than that, whatever was asked for. */
export function limitBudget(budget: Budget, limitMs = Infinity): Budget {
  return budget.budgetMs <= limitMs ? budget : { ...budget, budgetMs: Math.max(1, limitMs), source: 'platform' };
}

type Found = Omit<Budget, 'model'>;

function inRange(field: BudgetField, budgetMs: number): number {
  if (!(budgetMs > 0 && budgetMs <= MAX_BUDGET_MS)) {
    throw new BudgetError(field, `${field}: a latency budget is more than 0 and at most ${MAX_BUDGET_MS} ms`);
  }
  return budgetMs;
}

function fromBody(value: unknown): Found | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number') throw new BudgetError('latency_budget_ms', 'latency_budget_ms: expected a number of milliseconds');
  return { budgetMs: inRange('latency_budget_ms', value), source: 'latency_budget_ms' };
}

function fromHeader(value: string | null | undefined): Found | undefined {
  if (value === undefined || value === null) return undefined;
  const text = value.trim();
  if (!DECIMAL.test(text)) throw new BudgetError('x-latency-budget-ms', 'x-latency-budget-ms: expected a number of milliseconds');
  return { budgetMs: inRange('x-latency-budget-ms', Number(text)), source: 'x-latency-budget-ms' };
}

/** `stlm-auto@80ms`, `stlm-10m@1.5s`. */
function splitModel(model: string): { name: string; suffixMs: number | undefined } {
  const at = model.indexOf('@');
  if (at < 0) return { name: model, suffixMs: undefined };
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(model.slice(at + 1)) ?? [];
  if (amount === undefined) throw new BudgetError('model', 'model: a budget suffix looks like @80ms or @2s');
  return { name: model.slice(0, at), suffixMs: inRange('model', Number(amount) * (unit === 's' ? 1_000 : 1)) };
}

/** RFC 7240, section 2: a preference that cannot be understood is ignored, and of several `wait`s the first counts. */
function fromPrefer(value: string | null | undefined): Found | undefined {
  for (const preference of (value ?? '').split(',')) {
    const [, quoted, plain] = /^\s*wait\s*=\s*(?:"(\d+)"|(\d+))\s*(?:;.*)?$/i.exec(preference) ?? [];
    const budgetMs = hintedMs(quoted ?? plain);
    if (budgetMs !== undefined) return { budgetMs, source: 'prefer' };
  }
  return undefined;
}

/** The SDK truncates to whole seconds, so a timeout below one second arrives as 0 and says nothing. */
function fromStainlessTimeout(value: string | null | undefined): Found | undefined {
  const seconds = value?.trim();
  const budgetMs = seconds === SDK_DEFAULT_TIMEOUT ? undefined : hintedMs(seconds);
  return budgetMs === undefined ? undefined : { budgetMs, source: 'x-stainless-timeout' };
}

/** Hints that clients send without meaning a budget: clamped and, if meaningless, passed over, never an error. */
function hintedMs(seconds: string | undefined): number | undefined {
  if (seconds === undefined || !DECIMAL.test(seconds)) return undefined;
  const milliseconds = Number(seconds) * 1_000;
  return milliseconds > 0 ? Math.min(milliseconds, MAX_BUDGET_MS) : undefined;
}

function fromServiceTier(value: unknown, defaults: BudgetDefaults): Found | undefined {
  if (value === undefined || value === null || value === 'auto' || value === 'default' || value === 'scale') return undefined;
  if (value === 'flex') return { budgetMs: defaults.flexMs, source: 'service_tier' };
  if (value === 'priority') return { budgetMs: defaults.priorityMs, source: 'service_tier' };
  throw new BudgetError('service_tier', 'service_tier: expected auto, default, scale, flex or priority');
}
