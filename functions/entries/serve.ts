/** The server on Node: listens, and drains when asked to stop. */
import type { Server } from 'node:http';
import type { Worker } from 'node:worker_threads';
import { serve } from '@hono/node-server';
import { agentReply, listenForAgent } from '../agent-check.js';
import type { Config } from '../config.js';
import { shutDown } from '../shutdown.js';
import { openServing } from './serving.js';

/** Longer than balancers keep an idle connection, HAProxy seconds and AWS's 60: the side that sends requests is the one to close. */
const KEEP_ALIVE_MS = 75_000;

/** @param firstThread one of the engine's, on its way up already */
export async function serveUntilStopped(config: Config, firstThread?: Worker): Promise<void> {
  const serving = await openServing(config, firstThread);
  const { logger } = serving;
  const { agentPort, host, drainDelayMs } = config;
  const stable = () => serving.deployments()[0]!;

  if (agentPort !== undefined) await listenForAgent(agentPort, host, () => agentReply(stable().drain.leaving, stable().router.slack()));
  // Not only once it listens: the smallest model's file can be read meanwhile.
  serving.begin();
  const serverOptions = { keepAliveTimeout: KEEP_ALIVE_MS };
  const server = serve({ fetch: serving.fetch, port: config.port, hostname: host, serverOptions }, ({ port }) => {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
    console.log(`stlm listening on ${url} with ${stable().engine.manifests.map(({ id }) => id).join(', ')}. Try:`);
    console.log(`  curl ${url}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);
    console.log(`or write in a browser: ${url}`);
  }) as Server;
  server.on('error', refuse);
  process.once('SIGTERM', stop).once('SIGINT', stop);
  // Not SIGHUP: that says the terminal is gone, and ends a server as it should.
  process.on('SIGUSR2', () => serving.recheck());

  async function stop(signal: string): Promise<void> {
    logger.info({ signal }, 'draining');
    const deployments = serving.deployments();
    await shutDown({ drains: deployments.map(({ drain }) => drain), server, engines: deployments.map(({ engine }) => engine), drainDelayMs });
    await Promise.all(deployments.map(({ decisions }) => decisions?.close()));
    await stable().tracer.close();
    serving.counters?.close();
    process.exit(0);
  }

  /** A port that is taken is the operator's to mend: one line says it. */
  async function refuse({ message }: Error): Promise<void> {
    await Promise.all(serving.deployments().map(({ engine }) => engine.close()));
    console.error(`stlm: ${message}`);
    process.exit(1);
  }
}
