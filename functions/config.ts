/**
 * The deployment's settings, from environment variables. Everything has a default: `npm start` needs none.
 *
 * @module
 */
import { z } from 'zod';
import { BUDGET_DEFAULTS } from './router/budget.js';
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
    /** A file of API keys (`npm run key`); without one everybody may ask. */
    STLM_KEYS: z.string().min(1).optional(),
    /** Listen on a public address without keys. */
    STLM_OPEN: z.stringbool().default(false),
    STLM_DEFAULT_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.defaultMs),
    STLM_FLEX_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.flexMs),
    STLM_PRIORITY_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.priorityMs),
    LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  })
  .refine(({ HOST, STLM_KEYS, STLM_OPEN }) => STLM_OPEN || STLM_KEYS !== undefined || isLoopback(HOST), {
    path: ['HOST'],
    message: 'an address that others can reach needs API keys (STLM_KEYS), or STLM_OPEN=true if everybody may ask',
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
    keysFile: variables.STLM_KEYS,
    budgetDefaults: {
      defaultMs: variables.STLM_DEFAULT_BUDGET_MS,
      flexMs: variables.STLM_FLEX_BUDGET_MS,
      priorityMs: variables.STLM_PRIORITY_BUDGET_MS,
    },
    logLevel: variables.LOG_LEVEL,
  }));

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

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
