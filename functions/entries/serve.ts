/** The server on Node: listens, and drains when asked to stop. */
import type { Server } from 'node:http';
import type { Worker } from 'node:worker_threads';
import { agentReply, listenForAgent } from '../agent-check.js';
import type { Config } from '../config.js';
import { shutDown } from '../shutdown.js';
import { openServing, type Serving } from './serving.js';

/** Longer than balancers keep an idle connection, HAProxy seconds and AWS's 60: the side that sends requests is the one to close. */
const KEEP_ALIVE_MS = 75_000;

/** @param firstThread one of the engine's, on its way up already. @throws what keeps it from starting, once all that was opened is closed */
export async function serveUntilStopped(config: Config, firstThread?: Worker): Promise<void> {
  const serving = await openServing(config, firstThread);
  try {
    await listen(config, serving);
  } catch (error) {
    await close(serving);
    throw error;
  }
}

async function listen({ agentPort, host, port, drainDelayMs }: Config, serving: Serving): Promise<void> {
  const { serve } = await import('@hono/node-server');
  const stable = () => serving.deployments()[0]!;

  if (agentPort !== undefined) await listenForAgent(agentPort, host, () => agentReply(stable().drain.leaving, stable().router.slack()));
  // Not only once it listens: the smallest model's file can be read meanwhile.
  serving.begin();
  const serverOptions = { keepAliveTimeout: KEEP_ALIVE_MS };
  const server = serve({ fetch: serving.fetch, port, hostname: host, serverOptions }, (address) => {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
    console.log(`stlm listening on ${url} with ${stable().engine.manifests.map(({ id }) => id).join(', ')}. Try:`);
    console.log(`  curl ${url}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);
    console.log(`or write in a browser: ${url}`);
  }) as Server;
  server.on('error', refuse);
  process.once('SIGTERM', stop).once('SIGINT', stop);
  // Not SIGHUP: that says the terminal is gone, and ends a server as it should.
  process.on('SIGUSR2', () => serving.recheck());

  async function stop(signal: string): Promise<void> {
    serving.common.logger.info({ signal }, 'draining');
    // First, so that no release comes that nobody drains.
    void serving.end();
    const deployments = serving.deployments();
    await shutDown({ drains: deployments.map(({ drain }) => drain), server, engines: deployments.map(({ engine }) => engine), drainDelayMs });
    await close(serving);
    process.exit(0);
  }

  /** A port that is taken is the operator's to mend: one line says it. */
  async function refuse({ message }: Error): Promise<void> {
    await close(serving);
    console.error(`stlm: ${message}`);
    process.exit(1);
  }
}

async function close(serving: Serving): Promise<void> {
  await serving.end();
  await Promise.all(
    serving.deployments().map(async ({ engine, decisions }) => {
      await engine.close();
      await decisions?.close();
    }),
  );
  await serving.common.close();
}
