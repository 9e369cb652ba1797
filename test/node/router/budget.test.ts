import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BUDGET_DEFAULTS, BudgetError, type BudgetInput, limitBudget, parseBudget } from '../../../functions/router/budget.js';
import { MAX_BUDGET_MS } from '../../../functions/schema/budget.js';

function input(body: Partial<BudgetInput['body']>, headers: Record<string, string> = {}): BudgetInput {
  return { body: { model: 'stlm-auto', ...body }, header: (name) => headers[name] };
}

function attempt<T>(action: () => T): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

/** Each source in order of precedence, saying a different number of milliseconds. */
const SOURCES = [
  { source: 'latency_budget_ms', ms: 1_000, body: { latency_budget_ms: 1_000 }, headers: {} },
  { source: 'x-latency-budget-ms', ms: 2_000, body: {}, headers: { 'x-latency-budget-ms': '2000' } },
  { source: 'model', ms: 3_000, body: { model: 'stlm-auto@3s' }, headers: {} },
  { source: 'prefer', ms: 4_000, body: {}, headers: { prefer: 'respond-async, wait=4' } },
  { source: 'x-stainless-timeout', ms: 5_000, body: {}, headers: { 'x-stainless-timeout': '5' } },
  { source: 'service_tier', ms: BUDGET_DEFAULTS.flexMs, body: { service_tier: 'flex' }, headers: {} },
  { source: 'default', ms: BUDGET_DEFAULTS.defaultMs, body: {}, headers: {} },
] as const;

describe('the time that the platform leaves', () => {
  test('is the budget of whoever asked for more, and of nobody else', () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: MAX_BUDGET_MS, noNaN: true }), fc.double({ min: -1e6, max: 1e6, noNaN: true }), (askedMs, limitMs) => {
        const budget = parseBudget(input({ latency_budget_ms: askedMs }));
        const limited = { ...budget, budgetMs: Math.max(1, limitMs), source: 'platform' };
        expect(limitBudget(budget, limitMs)).toEqual(askedMs <= limitMs ? budget : limited);
      }),
    );
  });

  test('is no matter where nothing ends a request', () => {
    const budget = parseBudget(input({ latency_budget_ms: MAX_BUDGET_MS }));
    expect(limitBudget(budget)).toEqual(budget);
  });
});

describe('a latency budget', () => {
  test('comes from the first source in order of precedence, whatever else is set', () => {
    fc.assert(
      fc.property(fc.subarray(SOURCES.slice(0, -1)), (present) => {
        const body = Object.assign({}, ...present.map(({ body }) => body));
        const headers = Object.assign({}, ...present.map(({ headers }) => headers));
        const first = present[0] ?? SOURCES.at(-1);
        expect(parseBudget(input(body, headers))).toEqual({ budgetMs: first?.ms, source: first?.source, model: 'stlm-auto' });
      }),
    );
  });

  test.each([
    ['stlm-auto@80ms', 80],
    ['stlm-10m@1.5s', 1_500],
    ['stlm-100m@2s', 2_000],
  ])('is read from the model %s, which loses the suffix', (model, budgetMs) => {
    expect(parseBudget(input({ model }))).toEqual({ budgetMs, source: 'model', model: model.slice(0, model.indexOf('@')) });
  });

  test.each([
    ['latency_budget_ms', input({ latency_budget_ms: '80' })],
    ['latency_budget_ms', input({ latency_budget_ms: 0 })],
    ['latency_budget_ms', input({ latency_budget_ms: -5 })],
    ['latency_budget_ms', input({ latency_budget_ms: Number.NaN })],
    ['latency_budget_ms', input({ latency_budget_ms: MAX_BUDGET_MS + 1 })],
    ['x-latency-budget-ms', input({}, { 'x-latency-budget-ms': '80ms' })],
    ['x-latency-budget-ms', input({}, { 'x-latency-budget-ms': '1e99' })],
    ['x-latency-budget-ms', input({}, { 'x-latency-budget-ms': '' })],
    ['model', input({ model: 'stlm-auto@' })],
    ['model', input({ model: 'stlm-auto@80' })],
    ['model', input({ model: 'stlm-auto@0ms' })],
    ['model', input({ model: 'stlm-auto@80ms@90ms' })],
    ['service_tier', input({ service_tier: 'gold' })],
    ['service_tier', input({ service_tier: 3 })],
  ])('that makes no sense names its field: %s', (field, request) => {
    expect(() => parseBudget(request)).toThrow(expect.objectContaining({ name: 'BudgetError', field }));
  });

  test('is refused in the suffix and in the header even when the body decides', () => {
    expect(() => parseBudget(input({ model: 'stlm-auto@soon', latency_budget_ms: 80 }))).toThrow(BudgetError);
    expect(() => parseBudget(input({ latency_budget_ms: 80 }, { 'x-latency-budget-ms': 'soon' }))).toThrow(BudgetError);
  });

  test.each([
    [{ prefer: 'wait' }],
    [{ prefer: 'wait=soon' }],
    [{ prefer: 'wait=0' }],
    [{ prefer: 'handling=lenient' }],
    // What the openai SDK sends for a timeout below one second.
    [{ 'x-stainless-timeout': '0' }],
    // What it sends when no timeout was set.
    [{ 'x-stainless-timeout': '600' }],
    [{ 'x-stainless-timeout': 'abc' }],
  ])('hint that cannot be understood is passed over: %o', (headers) => {
    expect(parseBudget(input({}, headers as unknown as Record<string, string>)).source).toBe('default');
  });

  test('takes the first of several waits, and parameters beside it', () => {
    expect(parseBudget(input({}, { prefer: 'return=minimal, Wait="7"; strict, wait=9' })).budgetMs).toBe(7_000);
  });

  test('hint is clamped, because a client that waits an hour asks for no more than the largest tier', () => {
    expect(parseBudget(input({}, { 'x-stainless-timeout': '3600' })).budgetMs).toBe(MAX_BUDGET_MS);
  });

  test('never leaves its range and never fails but with a BudgetError', () => {
    const anything = fc.oneof(fc.string(), fc.double(), fc.constant(undefined), fc.constant(null), fc.anything());
    fc.assert(
      fc.property(fc.string(), anything, anything, fc.string(), (model, latency_budget_ms, service_tier, header) => {
        const outcome = attempt(() => parseBudget({ body: { model, latency_budget_ms, service_tier }, header: () => header }).budgetMs);
        expect(typeof outcome === 'number' ? outcome > 0 && outcome <= MAX_BUDGET_MS : outcome instanceof BudgetError).toBe(true);
      }),
    );
  });
});
