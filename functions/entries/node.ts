/** The server on Node: reads the configuration, wires the parts, listens, and drains when asked to stop. */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { serve } from '@hono/node-server';
import { pino, stdSerializers } from 'pino';
import { KeyRing } from '../access/keys.js';
import { Limits } from '../access/limits.js';
import { createApp } from '../app.js';
import { readConfig } from '../config.js';
import { Drain } from '../drain.js';
import { WorkerPool } from '../engine/pool.js';
import { poolPlan } from '../engine/pool-plan.js';
import { thisMachine } from '../machine.js';
import { PrometheusMetrics } from '../metrics/prometheus.js';
import { Readiness } from '../readiness.js';
import { ModelFileCache } from '../registry/fetch.js';
import { openStore } from '../registry/open-store.js';
import { Registry } from '../registry/registry.js';
import { createRouter } from '../router/router.js';
import { shutDown } from '../shutdown.js';
import { requalify, warmUp } from '../warm-up.js';
import { readKeys } from './key-file.js';
import { servePages } from './pages.js';

const nowMs = () => performance.timeOrigin + performance.now();

async function start(): Promise<void> {
  const { artifacts, cache, pool, keysFile, budgetDefaults, logLevel, port, host } = readConfig(process.env);
  const logger = pino({ level: logLevel, serializers: { error: stdSerializers.err } });
  const registry = await Registry.open(openStore(artifacts), new ModelFileCache(join(cache, 'files')));
  const { preload, ...plan } = poolPlan(thisMachine(), registry.manifests, pool);
  const workerUrl = new URL('../engine/worker.js', import.meta.url);
  const engine = new WorkerPool({ registry, workerUrl, preparedFolder: join(cache, 'prepared'), ...plan });
  // What the router weighs fills a page per request: for debugging. The answer's own line says what came of it.
  const router = createRouter({ engine, nowMs, log: { info: logger.debug.bind(logger), warn: logger.warn.bind(logger) } });
  const keys = await readKeys(keysFile);
  const access = { keys: new KeyRing(keys.all), limits: new Limits(keys.all) };
  const [drain, readiness] = [new Drain(), new Readiness(engine)];
  const app = createApp({ engine, router, budgetDefaults, access, drain, readiness, logger, metrics: new PrometheusMetrics(engine), nowMs, newId: randomUUID });
  servePages(app);

  const server = serve({ fetch: app.fetch, port, hostname: host }, ({ port: bound }) => {
    const url = `http://${host}:${bound}`;
    console.log(`stlm listening on ${url} with ${engine.manifests.map(({ id }) => id).join(', ')}. Try:`);
    console.log(`  curl ${url}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);
    console.log(`or write in a browser: ${url}`);
    void warmUp({ app, apiKey: keys.ownKey, engine, preload, registry, router, readiness, logger });
  }) as Server;
  server.on('error', refuse);
  process.once('SIGTERM', stop).once('SIGINT', stop);
  // Not SIGHUP: that says the terminal is gone, and ends a server as it should.
  process.on('SIGUSR2', () => void requalify(engine, logger));

  async function stop(signal: string): Promise<void> {
    logger.info({ signal }, 'draining');
    await shutDown(drain, server, engine);
    process.exit(0);
  }
}

/** What keeps a server from starting is the operator's to mend: one line says it. */
function refuse(error: Error): void {
  console.error(`stlm: ${error.message}`);
  process.exit(1);
}

await start().catch(refuse);
