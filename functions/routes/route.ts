/** `POST /v1/route`: what a completion request would get, without running or booking anything. */
import { createRoute } from '@hono/zod-openapi';
import type { Decision, Refusal, TierForecast } from '../router/types.js';
import { completionRequestSchema } from '../schema/completion.js';
import { type RouteAnswer, routeAnswerSchema } from '../schema/route.js';
import { unaliased } from './aliases.js';
import { readBody } from './body.js';
import { planCompletion } from './completion-plan.js';
import { type App, type AppDeps, arrivalOf } from './context.js';
import { errorResponses } from './documented-errors.js';
import { budgetHeaders, RATE_LIMITS, REQUEST_ID } from './documented-headers.js';
import { COMPLETION_REQUESTS } from './examples.js';
import { grammarOf } from './grammar.js';
import type { Plan } from './plan.js';
import { cacheSalt, knowingCache } from './prompt-cache.js';

const route = createRoute({
  method: 'post',
  path: '/v1/route',
  operationId: 'explainRoute',
  tags: ['Text'],
  summary: 'Which tier would run a completion request, what each would take, and why',
  request: { headers: budgetHeaders, body: { required: true, content: { 'application/json': { schema: completionRequestSchema, examples: COMPLETION_REQUESTS } } } },
  responses: {
    200: { description: 'The decision, a refusal included.', headers: { ...REQUEST_ID, ...RATE_LIMITS }, content: { 'application/json': { schema: routeAnswerSchema } } },
    ...errorResponses(400, 401, 404, 405, 413, 429, 500),
  },
});

export function registerRoute(app: App, { engine, router, grammars, aliases, budgetDefaults }: Pick<AppDeps, 'engine' | 'router' | 'grammars' | 'aliases' | 'budgetDefaults'>): void {
  app.openAPIRegistry.registerPath(route);
  app.post(route.path, async function explain(c) {
    const body = unaliased(await readBody(c.req.raw, completionRequestSchema), aliases);
    const plan = planCompletion(body, arrivalOf(c), engine.manifests, budgetDefaults, await grammarOf(body, grammars, c.req.raw.signal));
    const salt = await cacheSalt(c.var.client, c.req.header('authorization'));
    return c.json(answer(plan, router.policy, router.explain(knowingCache(engine, plan, salt))));
  });
}

function answer({ budget }: Plan, policy: string, decision: Decision | Refusal): RouteAnswer {
  const admitted = decision.kind === 'admitted' ? decision : undefined;
  return {
    object: 'route',
    outcome: decision.kind,
    tier: admitted?.placement.tier ?? null,
    reason: admitted?.reason ?? null,
    policy,
    budget_ms: budget.budgetMs,
    budget_source: budget.source,
    predicted_ms: admitted?.predictedMs ?? null,
    ...(decision.kind === 'infeasible' && { cheapest_feasible_ms: Math.ceil(decision.cheapestMs) }),
    ...('retryAfterMs' in decision && { retry_after_ms: decision.retryAfterMs }),
    tiers: decision.tiers.map(forecast),
  };
}

function forecast(tier: TierForecast): RouteAnswer['tiers'][number] {
  return {
    tier: tier.tier,
    verdict: tier.verdict,
    warm: tier.warm,
    wait_ms: tier.waitMs,
    load_ms: tier.loadMs,
    prefill_ms: tier.prefillMs,
    decode_ms: tier.decodeMs,
    predicted_ms: tier.predictedMs,
    predicted_first_byte_ms: tier.predictedFirstByteMs,
    planned_bytes: tier.plannedBytes,
  };
}
