/**
 * The deployment's settings, from environment variables and a file. Everything has a default: `npm start` needs none.
 *
 * @module
 */
import { z } from 'zod';
import { ConfigError, type ConfigFile, type Environment, gather } from './config-source.js';
import { locate, type StoreSettings } from './registry/open-store.js';
import { USUAL_WATTS_PER_CORE, wattsPerCore } from './energy/energy.js';
import type { Registry } from './registry/registry.js';
import { publicKey } from './registry/signature.js';
import { BUDGET_DEFAULTS } from './router/budget.js';
import { POLICIES, policyNamed, tierFixedBy } from './router/policy.js';
import { MAX_BUDGET_MS } from './schema/budget.js';
import { tierId } from './schema/manifest.js';
import { aliases } from './schema/model-name.js';
import { corsOrigins } from './schema/origin.js';
import type { OtlpOptions } from './tracing/otlp.js';

const count = (most: number) => z.coerce.number().int().min(1).max(most);
const port = z.coerce.number().int().min(0).max(65_535);
const budgetMs = z.coerce.number().positive().max(MAX_BUDGET_MS);
/** Separated by commas. */
const tiers = z
  .string()
  .transform((list) => list.split(',').map((tier) => tier.trim()))
  .pipe(z.array(tierId));
/** Some, or a word for all of them or for none. */
const tierList = z.union([z.literal('all'), z.literal('none').transform(() => []), tiers]);
const httpUrl = z.url({ protocol: /^https?$/ });
const trustedKeys = z.string().transform((list, context) => {
  try {
    return list.split(',').map((key) => publicKey(key.trim()));
  } catch (error) {
    context.addIssue((error as Error).message);
    return z.NEVER;
  }
});

/** What the `stlm` command reads besides: where a server is, and its key. */
const CLIENT_VARIABLES = new Set(['STLM_URL', 'STLM_API_KEY']);

const SECRETS = new Set(['AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']);

const settingsSchema = z
  .object({
    PORT: port.default(8_080),
    HOST: z.string().default('127.0.0.1'),
    /** A folder, the http(s) address of one, or s3://bucket/prefix. */
    STLM_ARTIFACTS: z.string().min(1).default('model-core/artifacts'),
    /** Which tiers an http(s) address has: HTTP has no listing. */
    STLM_TIERS: tiers.default(['stlm-10m', 'stlm-50m', 'stlm-100m']),
    /** Public keys, of which one must have signed every manifest; none: they need not be signed. */
    STLM_TRUSTED_KEYS: trustedKeys.default([]),
    /** Seconds between looks at the aliases of a store with releases. */
    STLM_RELEASE_POLL_S: z.coerce.number().positive().max(86_400).default(30),
    AWS_ENDPOINT_URL: httpUrl.optional(),
    AWS_REGION: z.string().min(1).default('us-east-1'),
    AWS_ACCESS_KEY_ID: z.string().min(1).optional(),
    AWS_SECRET_ACCESS_KEY: z.string().min(1).optional(),
    AWS_SESSION_TOKEN: z.string().min(1).optional(),
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
    /** Seconds for which a server that was asked to stop still takes requests, so that whoever balances load can notice. */
    STLM_DRAIN_DELAY_S: z.coerce.number().min(0).max(20).default(0),
    /** A port that answers HAProxy's agent check; none if absent. */
    STLM_AGENT_PORT: port.optional(),
    /** A file of API keys (`npm run key`); without one everybody may ask. */
    STLM_KEYS: z.string().min(1).optional(),
    /** Where replicas count the limits of keys together; each by itself if absent. */
    STLM_REDIS_URL: z.url({ protocol: /^rediss?$/ }).optional(),
    /** Listen on a public address without keys. */
    STLM_OPEN: z.stringbool().default(false),
    /** Origins of pages that may ask from a browser, separated by commas; `*`: any. */
    STLM_CORS_ORIGINS: corsOrigins.default([]),
    /** Other names that models are asked by: `gpt-4o-mini=stlm-auto`, separated by commas. */
    STLM_ALIASES: aliases.default(new Map()),
    STLM_DEFAULT_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.defaultMs),
    STLM_FLEX_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.flexMs),
    STLM_PRIORITY_BUDGET_MS: budgetMs.default(BUDGET_DEFAULTS.priorityMs),
    /** What a busy core takes, where the processor's counters cannot be read. */
    STLM_WATTS_PER_CORE: wattsPerCore.default(USUAL_WATTS_PER_CORE),
    /** What chooses among the tiers that can run a request. */
    STLM_POLICY: z
      .string()
      .refine((name) => policyNamed(name) !== undefined, `expected ${Object.keys(POLICIES).join(', ')} or fixed: and a tier`)
      .default('budget-first'),
    /** A file that gets a line for every decision and every outcome; none if absent. */
    STLM_DECISION_LOG: z.string().min(1).optional(),
    /** A collector of traces, and the whole address where it differs; none are recorded if both are absent. */
    OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl.optional(),
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: httpUrl.optional(),
    OTEL_SERVICE_NAME: z.string().min(1).default('stlm'),
    OTEL_SDK_DISABLED: z.stringbool().default(false),
    /** The file with more of these. A file cannot name another. */
    STLM_CONFIG: z.string().min(1).optional(),
    LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  })
  .refine(({ HOST, STLM_KEYS, STLM_OPEN }) => STLM_OPEN || STLM_KEYS !== undefined || isLoopback(HOST), {
    path: ['HOST'],
    message: 'an address that others can reach needs API keys (STLM_KEYS), or STLM_OPEN=true if everybody may ask',
  })
  .refine(({ STLM_REDIS_URL, STLM_KEYS }) => STLM_REDIS_URL === undefined || STLM_KEYS !== undefined, {
    path: ['STLM_REDIS_URL'],
    message: 'only limits of keys are counted there, and there are no keys (STLM_KEYS)',
  })
  .check(({ value, issues }) => {
    const { problem } = locate(value.STLM_ARTIFACTS, storesOf(value));
    if (problem !== undefined) issues.push({ code: 'custom', path: ['STLM_ARTIFACTS'], message: problem, input: value });
  })
  .transform((variables) => ({
    port: variables.PORT,
    host: variables.HOST,
    artifacts: locate(variables.STLM_ARTIFACTS, storesOf(variables)).location!,
    stores: storesOf(variables),
    trustedKeys: variables.STLM_TRUSTED_KEYS,
    releasePollMs: variables.STLM_RELEASE_POLL_S * 1_000,
    cache: variables.STLM_CACHE,
    pool: {
      workers: variables.STLM_WORKERS,
      threads: variables.STLM_THREADS,
      memoryBytes: variables.STLM_MEMORY_MB === undefined ? undefined : variables.STLM_MEMORY_MB * 2 ** 20,
      preload: variables.STLM_PRELOAD,
      idleUnloadMs: variables.STLM_IDLE_UNLOAD_S * 1_000,
    },
    drainDelayMs: variables.STLM_DRAIN_DELAY_S * 1_000,
    agentPort: variables.STLM_AGENT_PORT,
    keysFile: variables.STLM_KEYS,
    corsOrigins: variables.STLM_CORS_ORIGINS,
    aliases: variables.STLM_ALIASES,
    redisUrl: variables.STLM_REDIS_URL,
    budgetDefaults: {
      defaultMs: variables.STLM_DEFAULT_BUDGET_MS,
      flexMs: variables.STLM_FLEX_BUDGET_MS,
      priorityMs: variables.STLM_PRIORITY_BUDGET_MS,
    },
    wattsPerCore: variables.STLM_WATTS_PER_CORE,
    policy: variables.STLM_POLICY,
    decisionLog: variables.STLM_DECISION_LOG,
    tracing: variables.OTEL_SDK_DISABLED
      ? undefined
      : tracingOf(variables.OTEL_EXPORTER_OTLP_ENDPOINT, variables.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, variables.OTEL_SERVICE_NAME),
    logLevel: variables.LOG_LEVEL,
  }));

interface StoreVariables {
  readonly STLM_TIERS: readonly string[];
  readonly AWS_ENDPOINT_URL?: string | undefined;
  readonly AWS_REGION: string;
  readonly AWS_ACCESS_KEY_ID?: string | undefined;
  readonly AWS_SECRET_ACCESS_KEY?: string | undefined;
  readonly AWS_SESSION_TOKEN?: string | undefined;
}

/** What reaching a store may need besides its address. */
function storesOf({ STLM_TIERS: tiers, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, ...aws }: StoreVariables): StoreSettings {
  if (accessKeyId === undefined || secretAccessKey === undefined) return { tiers };
  return { tiers, s3: { accessKeyId, secretAccessKey, endpoint: aws.AWS_ENDPOINT_URL, region: aws.AWS_REGION, sessionToken: aws.AWS_SESSION_TOKEN } };
}

/** As OpenTelemetry has it: the general address is of all signals, each with a path of its own. */
function tracingOf(base: string | undefined, traces: string | undefined, serviceName: string): OtlpOptions | undefined {
  const tracesUrl = traces ?? (base && `${base.replace(/\/$/, '')}/v1/traces`);
  return tracesUrl === undefined ? undefined : { tracesUrl, serviceName };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

export type Config = z.infer<typeof settingsSchema>;

/** Of all settings, as the table of `functions/README.md` has them. */
export const SETTING_NAMES: readonly string[] = Object.keys(settingsSchema.in.shape);

/** @throws {ConfigError} naming each setting that means nothing, and where it came from. */
export function readConfig(environment: Environment, file?: ConfigFile): Config {
  const unknown = Object.keys(file?.settings ?? {}).filter((name) => !SETTING_NAMES.includes(name) || name === 'STLM_CONFIG');
  if (unknown.length > 0) throw new ConfigError(`${unknown.join(', ')}: no such setting (from ${file!.path})`);
  const given = gather(environment, file);
  const parsed = settingsSchema.safeParse(Object.fromEntries(Object.entries(given).map(([name, { text }]) => [name, text])), { jitless: true });
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message} (from ${given[String(path[0])]?.source ?? 'the default'})`).join('; '));
}

/** What Kubernetes tells every container of a service named stlm. */
const SERVICE_VARIABLE = /^STLM_(?:SERVICE_|PORT(?:_|$))/;

/** Variables that look like settings and are none. The environment is shared, so they are no error. */
export function unknownVariables(environment: Environment): string[] {
  return Object.keys(environment).filter((name) => name.startsWith('STLM_') && !SETTING_NAMES.includes(name) && !CLIENT_VARIABLES.has(name) && !SERVICE_VARIABLE.test(name));
}

/** Every setting as an assignment, with its source; an empty one is not set. */
export function describeConfig(environment: Environment, file?: ConfigFile): string {
  const given = gather(environment, file);
  const lines = Object.entries(settingsSchema.in.shape).map(([name, schema]) => {
    const { text, source } = given[name] ?? { text: defaultText(schema.parse(undefined)), source: 'default' };
    return { assignment: `${name}=${SECRETS.has(name) && text !== '' ? '***' : withoutSecrets(text)}`, source };
  });
  const width = Math.max(...lines.map(({ assignment }) => assignment.length));
  return lines.map(({ assignment, source }) => `${assignment.padEnd(width)}  # ${source}\n`).join('');
}

function defaultText(value: unknown): string {
  // Of what is written as pairs no default has any.
  return value === undefined || value instanceof Map ? '' : String(value);
}

/** An address may carry a password, or a token in its query or its fragment. */
function withoutSecrets(text: string): string {
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  if (url.username === '' && url.password === '' && url.search === '' && url.hash === '') return text;
  if (url.username !== '' || url.password !== '') [url.username, url.password] = ['***', ''];
  if (url.search !== '') url.search = '***';
  if (url.hash !== '') url.hash = '***';
  return url.href;
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
