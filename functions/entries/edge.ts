/** The parts of a Worker, made from its bindings and wired to each other: once an isolate, by its first request. */
import { BindingLimits } from '../access/binding.js';
import { KeyRing } from '../access/keys.js';
import { createApp } from '../app.js';
import { Drain } from '../drain.js';
import { readEdgeConfig } from '../edge-config.js';
import { EnergyMeter } from '../energy/energy.js';
import { GrammarsInPlace } from '../grammar/in-place.js';
import { LoggedMetrics } from '../metrics/log.js';
import { EitherPlace } from '../origin/either.js';
import { Origin } from '../origin/origin.js';
import { Readiness } from '../readiness.js';
import { createRouter } from '../router/router.js';
import { openEngine } from './edge-engine.js';
import { type Bindings, logger, newId, nowMs, pause } from './workerd.js';

/** @throws what keeps a Worker from serving; it is the operator's to mend. */
export function deployEdge(bindings: Bindings, engine = openEngine(bindings)) {
  const { keys, requestsPerMinute, corsOrigins, aliases, wattsPerCore, budgetDefaults, originUrl, originKey } = readEdgeConfig({ ...bindings });
  const router = createRouter({ engine, nowMs, log: logger });
  const origin = openOrigin(bindings, originUrl, originKey);
  const readiness = new Readiness(engine);
  const app = createApp({
    engine,
    router,
    aliases,
    corsOrigins,
    budgetDefaults,
    energy: new EnergyMeter(() => ({ wattsPerCore, source: 'cpu_time' })),
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
