/** The server on Node: reads the configuration, listens, and drains when asked to stop. */
import type { Server } from 'node:http';
import type { Worker } from 'node:worker_threads';
import { serve } from '@hono/node-server';
import { agentReply, listenForAgent } from '../agent-check.js';
import { readConfig } from '../config.js';
import { shutDown } from '../shutdown.js';
import { requalify, warmUp, warnOfFallback } from '../warm-up.js';
import { deploy } from './deployment.js';

/** Longer than balancers keep an idle connection, HAProxy seconds and AWS's 60: the side that sends requests is the one to close. */
const KEEP_ALIVE_MS = 75_000;

/** @param firstThread one of the engine's, on its way up already */
export async function start(firstThread: Worker): Promise<void> {
  const config = readConfig(process.env);
  const deployment = await deploy(config, { firstThread });
  const { app, engine, router, drain, decisions, counters, logger } = deployment;
  const { agentPort, host, drainDelayMs } = config;

  if (agentPort !== undefined) await listenForAgent(agentPort, host, () => agentReply(drain.leaving, router.slack()));
  // Not only once it listens: the smallest model's file can be read meanwhile.
  void warmUp(deployment).then(() => warnOfFallback(logger));
  const serverOptions = { keepAliveTimeout: KEEP_ALIVE_MS };
  const server = serve({ fetch: app.fetch, port: config.port, hostname: host, serverOptions }, ({ port }) => {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
    console.log(`stlm listening on ${url} with ${engine.manifests.map(({ id }) => id).join(', ')}. Try:`);
    console.log(`  curl ${url}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);
    console.log(`or write in a browser: ${url}`);
  }) as Server;
  server.on('error', fail);
  process.once('SIGTERM', stop).once('SIGINT', stop);
  // Not SIGHUP: that says the terminal is gone, and ends a server as it should.
  process.on('SIGUSR2', () => void requalify(engine, logger));

  async function fail(error: Error): Promise<void> {
    await engine.close();
    refuse(error);
  }

  async function stop(signal: string): Promise<void> {
    logger.info({ signal }, 'draining');
    await shutDown({ drain, server, engine, drainDelayMs });
    await decisions?.close();
    counters?.close();
    process.exit(0);
  }
}

/** What keeps a server from starting is the operator's to mend: one line says it. */
export function refuse(error: Error): void {
  console.error(`stlm: ${error.message}`);
  process.exit(1);
}
