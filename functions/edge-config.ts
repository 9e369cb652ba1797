/**
 * A Worker's settings: the variables and secrets of its environment, by the names that they have on Node. What is secret is set with
 * `wrangler secret put`, or stands in `.dev.vars`.
 *
 * @module
 */
import { z } from 'zod';
import { parseKeys } from './access/keys.js';
import { BUDGET_DEFAULTS } from './router/budget.js';
import { USUAL_WATTS_PER_CORE, wattsPerCore } from './energy/energy.js';
import { MAX_BUDGET_MS } from './schema/budget.js';
import { aliases } from './schema/model-name.js';
import { corsOrigins } from './schema/origin.js';

const budgetMs = z.coerce.number().positive().max(MAX_BUDGET_MS);

const environmentSchema = z
  .object({
    /** The address of the server that has the larger tiers; a service binding named ORIGIN comes first. */
    STLM_ORIGIN: z.url({ protocol: /^https?$/ }).optional(),
    /** Secret: the edge's own key there, for its questions and for clients that show none. */
    STLM_ORIGIN_KEY: z.string().min(1).optional(),
    /** Secret: the key file's content; the origin should have the same, since clients' keys are passed on. */
    STLM_KEYS: z.string().min(1).optional(),
    STLM_OPEN: z.stringbool().default(false),
    /** What the LIMITER binding was set to: it does not say. */
    STLM_REQUESTS_PER_MINUTE: z.coerce.number().int().positive().default(600),
    STLM_CORS_ORIGINS: corsOrigins.default([]),
    STLM_ALIASES: aliases.default(new Map()),
    STLM_WATTS_PER_CORE: wattsPerCore.default(USUAL_WATTS_PER_CORE),
    STLM_DEFAULT_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.defaultMs),
    STLM_FLEX_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.flexMs),
    STLM_PRIORITY_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.priorityMs),
  })
  .refine(({ STLM_KEYS, STLM_OPEN }) => STLM_OPEN || STLM_KEYS !== undefined, {
    path: ['STLM_KEYS'],
    message: 'a Worker can be reached by all: it needs API keys, or STLM_OPEN=true if everybody may ask',
  })
  .transform((variables) => ({
    originUrl: variables.STLM_ORIGIN?.replace(/\/+$/, ''),
    originKey: variables.STLM_ORIGIN_KEY,
    keys: variables.STLM_KEYS === undefined ? [] : parseKeys(variables.STLM_KEYS),
    requestsPerMinute: variables.STLM_REQUESTS_PER_MINUTE,
    corsOrigins: variables.STLM_CORS_ORIGINS,
    aliases: variables.STLM_ALIASES,
    wattsPerCore: variables.STLM_WATTS_PER_CORE,
    budgetDefaults: {
      defaultMs: variables.STLM_DEFAULT_BUDGET_MS,
      flexMs: variables.STLM_FLEX_BUDGET_MS,
      priorityMs: variables.STLM_PRIORITY_BUDGET_MS,
    },
  }));

export type EdgeConfig = z.infer<typeof environmentSchema>;

/** @throws naming the variable that means nothing; {KeyFileError} */
export function readEdgeConfig(environment: Readonly<Record<string, unknown>>): EdgeConfig {
  const parsed = environmentSchema.safeParse(environment);
  if (parsed.success) return parsed.data;
  throw new Error(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
}
