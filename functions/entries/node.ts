/** The server on Node: reads the configuration, wires the parts, listens, and drains when asked to stop. */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { serve } from '@hono/node-server';
import { pino, stdSerializers } from 'pino';
import { createApp } from '../app.js';
import { readConfig } from '../config.js';
import { openDecisionLog } from '../decision-log.js';
import { Drain } from '../drain.js';
import { WorkerPool } from '../engine/pool.js';
import { Readiness } from '../readiness.js';
import { ModelFileCache } from '../registry/fetch.js';
import { FolderStore } from '../registry/folder-store.js';
import { HttpStore } from '../registry/http-store.js';
import { Registry } from '../registry/registry.js';
import { createRouter } from '../router/router.js';
import { shutDown } from '../shutdown.js';
import { warmUp } from '../warm-up.js';

const nowMs = () => performance.timeOrigin + performance.now();

async function start(): Promise<void> {
  const { artifacts, cache, workers = availableParallelism(), threads, budgetDefaults, policy, decisionLog, logLevel, port, host } = readConfig(process.env);
  const logger = pino({ level: logLevel, serializers: { error: stdSerializers.err } });
  const store = artifacts.kind === 'http' ? new HttpStore(artifacts.base, artifacts.tiers) : new FolderStore(artifacts.path);
  const registry = await Registry.open(store, new ModelFileCache(join(cache, 'files')));
  const workerUrl = new URL('../engine/worker.js', import.meta.url);
  const engine = new WorkerPool({ registry, workerUrl, workers, threads, preparedFolder: join(cache, 'prepared') });
  const decisions = decisionLog === undefined ? undefined : await openDecisionLog(decisionLog, (error) => logger.error({ error }, 'the decision log ends here'));
  const router = createRouter({ engine, nowMs, log: logger, policy, ...(decisions && { record: decisions.write }) });
  const [drain, readiness] = [new Drain(), new Readiness(engine)];
  const app = createApp({ engine, router, budgetDefaults, drain, readiness, logger, nowMs, newId: randomUUID });

  const server = serve({ fetch: app.fetch, port, hostname: host }, ({ port: bound }) => {
    const url = `http://${host}:${bound}`;
    console.log(`stlm listening on ${url} with ${engine.manifests.map(({ id }) => id).join(', ')}. Try:`);
    console.log(`  curl ${url}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);
    void warmUp({ app, engine, registry, router, readiness, logger });
  }) as Server;
  server.on('error', refuse);
  process.once('SIGTERM', stop).once('SIGINT', stop);

  async function stop(signal: string): Promise<void> {
    logger.info({ signal }, 'draining');
    await shutDown(drain, server, engine);
    await decisions?.close();
    process.exit(0);
  }
}

/** What keeps a server from starting is the operator's to mend: one line says it. */
function refuse(error: Error): void {
  console.error(`stlm: ${error.message}`);
  process.exit(1);
}

await start().catch(refuse);
