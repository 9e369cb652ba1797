/** The parts of a Worker, made from its bindings and wired to each other: once an isolate, by its first request. */
import { waitUntil } from 'cloudflare:workers';
import large from '../../model-core/artifacts/stlm-100m/manifest.json' with { type: 'json' };
import small from '../../model-core/artifacts/stlm-10m/manifest.json' with { type: 'json' };
import medium from '../../model-core/artifacts/stlm-50m/manifest.json' with { type: 'json' };
import { BindingLimits, type RateLimit } from '../access/binding.js';
import { KeyRing } from '../access/keys.js';
import { createApp } from '../app.js';
import { Drain } from '../drain.js';
import { readEdgeConfig } from '../edge-config.js';
import { IsolateEngine } from '../engine/isolate.js';
import { openEdgeSession, runtimeBytes } from '../engine/ort-edge.js';
import { GrammarsInPlace } from '../grammar/in-place.js';
import { LoggedMetrics } from '../metrics/log.js';
import { EitherPlace } from '../origin/either.js';
import { Origin } from '../origin/origin.js';
import { Readiness } from '../readiness.js';
import { type Bucket, readModel } from '../registry/bucket.js';
import { createRouter } from '../router/router.js';
import type { Logger } from '../routes/context.js';
import { manifestSchema } from '../schema/manifest.js';

export interface Bindings {
  readonly MODELS: Bucket;
  readonly ORIGIN?: { fetch(url: string, init: RequestInit): Promise<Response> };
  readonly LIMITER?: RateLimit;
}

/** 4-bit kernels are ten times slower in WebAssembly, and round otherwise. */
const PRECISION = 'uint8';
/** What the first prediction in an isolate goes by: `npm run bench -- edge`. */
const SEED = { machine: 'workerd, AMD EPYC', threads: 1, loadMs: 650, prefillPatchMs: 0.9, decodePatchMs: 2 };

const written = (_: string, value: unknown) => (value instanceof Error ? { name: value.name, message: value.message, stack: value.stack, cause: value.cause } : value);
const write = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) => console[level](JSON.stringify({ level, message, ...fields }, written));
const logger: Logger = { info: write('info'), warn: write('warn'), error: write('error') };
const pause = (ms: number) => scheduler.wait(ms);
const nowMs = () => Date.now();
const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0]!;
const newId = () => crypto.randomUUID();

/** The smallest tier, and the others as far as requests for them can be read here. */
export function openEngine({ MODELS }: Pick<Bindings, 'MODELS'>): IsolateEngine {
  const own = { ...manifestSchema.parse(small), defaultPrecision: PRECISION, latencySeed: SEED } as const;
  const manifests = [own, manifestSchema.parse(medium), manifestSchema.parse(large)];
  const read = () => readModel(MODELS, own, PRECISION);
  return new IsolateEngine({ manifests, tier: own.id, read, open: openEdgeSession, nowMs, drawSeed, pause, hold: waitUntil, runtimeBytes });
}

/** @throws what keeps a Worker from serving; it is the operator's to mend. */
export function deployEdge(bindings: Bindings, engine = openEngine(bindings)) {
  const { keys, requestsPerMinute, budgetDefaults, originUrl, originKey } = readEdgeConfig({ ...bindings });
  const router = createRouter({ engine, nowMs, log: logger });
  const origin = openOrigin(bindings, originUrl, originKey);
  const readiness = new Readiness(engine);
  const app = createApp({
    engine,
    router,
    budgetDefaults,
    readiness,
    logger,
    nowMs,
    newId,
    ...(origin && { elsewhere: new EitherPlace({ origin, router, nowMs, pause, log: logger }) }),
    access: { keys: new KeyRing(keys), limits: new BindingLimits(bindings.LIMITER, requestsPerMinute) },
    drain: new Drain(),
    grammars: new GrammarsInPlace(),
    metrics: new LoggedMetrics(logger.info),
  });
  return { app, engine, router, readiness, origin };
}

function openOrigin({ ORIGIN }: Bindings, url: string | undefined, key: string | undefined): Origin | undefined {
  const base = { key, nowMs, log: logger };
  if (ORIGIN !== undefined) return new Origin({ ...base, url: url ?? 'http://origin', send: (url, init) => ORIGIN.fetch(url, init) });
  // Not `fetch` itself: it wants to be called as a function of the global scope.
  return url === undefined ? undefined : new Origin({ ...base, url, send: (url, init) => fetch(url, init) });
}
