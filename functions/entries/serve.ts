/** The server on Node: listens, and drains when asked to stop. */
import type { Server } from 'node:http';
import { serve } from '@hono/node-server';
import type { Config } from '../config.js';
import { shutDown } from '../shutdown.js';
import { openServing } from './serving.js';

export async function serveUntilStopped(config: Config): Promise<void> {
  const serving = await openServing(config);
  const { logger } = serving;

  const server = serve({ fetch: serving.fetch, port: config.port, hostname: config.host }, ({ port }) => {
    const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
    const tiers = serving.deployments()[0]!.engine.manifests.map(({ id }) => id);
    console.log(`stlm listening on ${url} with ${tiers.join(', ')}. Try:`);
    console.log(`  curl ${url}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);
    console.log(`or write in a browser: ${url}`);
    serving.begin();
  }) as Server;
  server.on('error', refuse);
  process.once('SIGTERM', stop).once('SIGINT', stop);
  // Not SIGHUP: that says the terminal is gone, and ends a server as it should.
  process.on('SIGUSR2', () => serving.recheck());

  async function stop(signal: string): Promise<void> {
    logger.info({ signal }, 'draining');
    const deployments = serving.deployments();
    await shutDown(deployments.map(({ drain }) => drain), server, deployments.map(({ engine }) => engine));
    await Promise.all(deployments.map(({ decisions }) => decisions?.close()));
    await deployments[0]!.tracer.close();
    process.exit(0);
  }
}

/** A port that is taken is the operator's to mend: one line says it. */
function refuse(error: Error): void {
  console.error(`stlm: ${error.message}`);
  process.exit(1);
}
