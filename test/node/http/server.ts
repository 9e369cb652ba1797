/** The app on a real socket. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import { KeyRing } from '../../../functions/access/keys.js';
import { Limits } from '../../../functions/access/limits.js';
import { createApp } from '../../../functions/app.js';
import { EnergyMeter } from '../../../functions/energy/energy.js';
import { Drain } from '../../../functions/drain.js';
import type { Engine } from '../../../functions/engine/types.js';
import { compileGrammar, type GrammarSource } from '../../../functions/grammar/grammars.js';
import { PrometheusMetrics } from '../../../functions/metrics/prometheus.js';
import { Readiness } from '../../../functions/readiness.js';
import { BUDGET_DEFAULTS } from '../../../functions/router/budget.js';
import { createRouter } from '../../../functions/router/router.js';
import type { Aliases } from '../../../functions/schema/model-name.js';
import type { Key } from '../../../functions/schema/keys.js';
import type { Router } from '../../../functions/router/types.js';
import type { LogRecord } from '../../../functions/schema/decision-log.js';

export interface TestServer {
  readonly url: string;
  readonly drain: Drain;
  /** Every log line's fields with its message. */
  readonly log: object[];
  /** The decision log. */
  readonly records: LogRecord[];
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

const nowMs = () => performance.timeOrigin + performance.now();

export async function listen(engine: Engine, parts: { router?: Router; keys?: readonly Key[]; aliases?: Aliases; corsOrigins?: readonly string[] } = {}): Promise<TestServer> {
  const log: object[] = [];
  const write = (fields: object, message: string) => void log.push({ ...fields, message });
  const logger = { info: write, warn: write, error: write };
  const records: LogRecord[] = [];
  const router = parts.router ?? createRouter({ engine, nowMs, log: logger, record: (record) => void records.push(record) });
  const drain = new Drain();
  const readiness = new Readiness(engine);
  const { keys = [], corsOrigins = [] } = parts;
  const access = { keys: new KeyRing(keys), limits: new Limits(keys) };
  const grammars = { compile: async (source: GrammarSource) => compileGrammar(source) };
  const app = createApp({ engine, router, aliases: parts.aliases ?? new Map(), corsOrigins, budgetDefaults: BUDGET_DEFAULTS, access, grammars, drain, readiness, logger, metrics: new PrometheusMetrics(engine), energy: new EnergyMeter(() => ({ wattsPerCore: 5, source: 'cpu_time' })), nowMs, newId: () => crypto.randomUUID() });
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server;
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    drain,
    log,
    records,
    post: (path, body, init = {}) =>
      fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), ...init }),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
