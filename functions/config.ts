/**
 * The deployment's settings, from environment variables. Everything has a default: `npm start` needs none.
 *
 * @module
 */
import { z } from 'zod';
import { BUDGET_DEFAULTS } from './router/budget.js';
import { POLICIES, policyNamed } from './router/policy.js';
import { MAX_BUDGET_MS } from './schema/request.js';

const count = (most: number) => z.coerce.number().int().min(1).max(most);
const budgetMs = z.coerce.number().positive().max(MAX_BUDGET_MS);
const httpUrl = z.url({ protocol: /^https?$/ });

const environmentSchema = z
  .object({
    PORT: z.coerce.number().int().min(0).max(65_535).default(8_080),
    HOST: z.string().default('127.0.0.1'),
    /** A folder, or the http(s) address of one. */
    STLM_ARTIFACTS: z.string().min(1).default('model-core/artifacts'),
    /** Which tiers an http(s) address has: HTTP has no listing. */
    STLM_TIERS: z.string().default('stlm-10m,stlm-50m,stlm-100m'),
    /** Where fetched and prepared models are kept. */
    STLM_CACHE: z.string().min(1).default('.cache/models'),
    /** Threads that run models; the cores of the machine if absent. */
    STLM_WORKERS: count(256).optional(),
    /** Cores each of them may use. */
    STLM_THREADS: count(256).default(1),
    STLM_DEFAULT_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.defaultMs),
    STLM_FLEX_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.flexMs),
    STLM_PRIORITY_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.priorityMs),
    /** What chooses among the tiers that can run a request. */
    STLM_POLICY: z
      .string()
      .refine((name) => policyNamed(name) !== undefined, `expected ${Object.keys(POLICIES).join(', ')} or fixed: and a tier`)
      .default('budget-first'),
    /** A file that gets a line for every decision and every outcome; none if absent. */
    STLM_DECISION_LOG: z.string().min(1).optional(),
    LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  })
  .transform((variables) => ({
    port: variables.PORT,
    host: variables.HOST,
    artifacts: httpUrl.safeParse(variables.STLM_ARTIFACTS).success
      ? { kind: 'http' as const, base: new URL(variables.STLM_ARTIFACTS), tiers: variables.STLM_TIERS.split(',').map((tier) => tier.trim()) }
      : { kind: 'folder' as const, path: variables.STLM_ARTIFACTS },
    cache: variables.STLM_CACHE,
    workers: variables.STLM_WORKERS,
    threads: variables.STLM_THREADS,
    budgetDefaults: {
      defaultMs: variables.STLM_DEFAULT_BUDGET_MS,
      flexMs: variables.STLM_FLEX_BUDGET_MS,
      priorityMs: variables.STLM_PRIORITY_BUDGET_MS,
    },
    policy: variables.STLM_POLICY,
    decisionLog: variables.STLM_DECISION_LOG,
    logLevel: variables.LOG_LEVEL,
  }));

export type Config = z.infer<typeof environmentSchema>;

/** A variable means nothing; the message names it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** @throws {ConfigError} */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const parsed = environmentSchema.safeParse(environment);
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
}
