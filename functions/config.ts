/**
 * The deployment's settings, from environment variables. Everything has a default: `npm start` needs none.
 *
 * @module
 */
import { z } from 'zod';
import type { Registry } from './registry/registry.js';
import { BUDGET_DEFAULTS } from './router/budget.js';
import { POLICIES, policyNamed, tierFixedBy } from './router/policy.js';
import { tierId } from './schema/manifest.js';
import type { Aliases } from './schema/model.js';
import { MAX_BUDGET_MS, modelName } from './schema/request.js';

const count = (most: number) => z.coerce.number().int().min(1).max(most);
const budgetMs = z.coerce.number().positive().max(MAX_BUDGET_MS);
/** Separated by commas. */
const tiers = z
  .string()
  .transform((list) => list.split(',').map((tier) => tier.trim()))
  .pipe(z.array(tierId));
/** Some, or a word for all of them or for none. */
const tierList = z.union([z.literal('all'), z.literal('none').transform(() => []), tiers]);
/** `name=model`, separated by commas. */
const aliases = z
  .string()
  .transform((list) => list.split(',').map((pair) => pair.split('=').map((part) => part.trim())))
  .pipe(z.array(z.tuple([modelName, modelName])))
  .transform((pairs): Aliases => new Map(pairs));
const httpUrl = z.url({ protocol: /^https?$/ });

const environmentSchema = z
  .object({
    PORT: z.coerce.number().int().min(0).max(65_535).default(8_080),
    HOST: z.string().default('127.0.0.1'),
    /** A folder, or the http(s) address of one. */
    STLM_ARTIFACTS: z.string().min(1).default('model-core/artifacts'),
    /** Which tiers an http(s) address has: HTTP has no listing. */
    STLM_TIERS: tiers.default(['stlm-10m', 'stlm-50m', 'stlm-100m']),
    /** Where fetched and prepared models are kept. */
    STLM_CACHE: z.string().min(1).default('.cache/models'),
    /** Threads that run models; as the machine has cores and memory for if absent. */
    STLM_WORKERS: count(256).optional(),
    /** Cores each of them may use. */
    STLM_THREADS: count(256).default(1),
    /** Mebibytes for loaded tiers and the caches of their texts; half of the machine's memory if absent. */
    STLM_MEMORY_MB: z.coerce.number().positive().max(1e9).optional(),
    /** Tiers that are loaded after the start and of which one copy stays. */
    STLM_PRELOAD: tierList.default('all'),
    /** Seconds after which a copy that no text has used is unloaded. */
    STLM_IDLE_UNLOAD_S: z.coerce.number().positive().max(1e9).default(600),
    /** A file of API keys (`npm run key`); without one everybody may ask. */
    STLM_KEYS: z.string().min(1).optional(),
    /** Listen on a public address without keys. */
    STLM_OPEN: z.stringbool().default(false),
    /** Other names that models are asked by: `gpt-4o-mini=stlm-auto`, separated by commas. */
    STLM_ALIASES: aliases.default(new Map()),
    STLM_DEFAULT_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.defaultMs),
    STLM_FLEX_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.flexMs),
    STLM_PRIORITY_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.priorityMs),
    /** What a busy core takes, where the processor's counters cannot be read. */
    STLM_WATTS_PER_CORE: z.coerce.number().positive().max(1_000).default(5),
    /** What chooses among the tiers that can run a request. */
    STLM_POLICY: z
      .string()
      .refine((name) => policyNamed(name) !== undefined, `expected ${Object.keys(POLICIES).join(', ')} or fixed: and a tier`)
      .default('budget-first'),
    /** A file that gets a line for every decision and every outcome; none if absent. */
    STLM_DECISION_LOG: z.string().min(1).optional(),
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
      ? { kind: 'http' as const, base: new URL(variables.STLM_ARTIFACTS), tiers: variables.STLM_TIERS }
      : { kind: 'folder' as const, path: variables.STLM_ARTIFACTS },
    cache: variables.STLM_CACHE,
    pool: {
      workers: variables.STLM_WORKERS,
      threads: variables.STLM_THREADS,
      memoryBytes: variables.STLM_MEMORY_MB === undefined ? undefined : variables.STLM_MEMORY_MB * 2 ** 20,
      preload: variables.STLM_PRELOAD,
      idleUnloadMs: variables.STLM_IDLE_UNLOAD_S * 1_000,
    },
    keysFile: variables.STLM_KEYS,
    aliases: variables.STLM_ALIASES,
    budgetDefaults: {
      defaultMs: variables.STLM_DEFAULT_BUDGET_MS,
      flexMs: variables.STLM_FLEX_BUDGET_MS,
      priorityMs: variables.STLM_PRIORITY_BUDGET_MS,
    },
    wattsPerCore: variables.STLM_WATTS_PER_CORE,
    policy: variables.STLM_POLICY,
    decisionLog: variables.STLM_DECISION_LOG,
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
  // Deployment tools pass what is not set as an empty text.
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = environmentSchema.safeParse(set);
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
}

/**
 * @throws {ConfigError} for a tier that is named and that there is not; one that is quarantined may be preloaded, as the log says why it
 * is not, but a policy that runs nothing else would refuse every request.
 */
export function checkTiers({ policy, pool, aliases }: Pick<Config, 'policy' | 'pool' | 'aliases'>, { manifests, quarantine }: Pick<Registry, 'manifests' | 'quarantine'>): void {
  const served = manifests.map(({ id }) => id);
  const fixed = tierFixedBy(policy);
  if (fixed !== undefined && !served.includes(fixed)) throw new ConfigError(`STLM_POLICY: ${missing([fixed], served)}`);
  const nameless = [...aliases.values()].filter((model) => !['stlm-auto', ...served].includes(model.split('@')[0]!));
  if (nameless.length > 0) throw new ConfigError(`STLM_ALIASES: ${missing(nameless, served)}`);
  const unknown = pool.preload === 'all' ? [] : pool.preload.filter((id) => !served.includes(id) && !quarantine.has(id));
  if (unknown.length > 0) throw new ConfigError(`STLM_PRELOAD: ${missing(unknown, served)}`);
}

function missing(ids: readonly string[], served: readonly string[]): string {
  return `there is no usable ${ids.join(', ')}, but ${served.join(', ') || 'no tier at all'}`;
}
