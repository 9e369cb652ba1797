/** The server on Node: listens, and drains when asked to stop. */
import type { Server } from 'node:http';
import { serve } from '@hono/node-server';
import type { Config } from '../config.js';
import { shutDown } from '../shutdown.js';
import { requalify, warmUp } from '../warm-up.js';
import { deploy } from './deployment.js';

export async function serveUntilStopped(config: Config): Promise<void> {
  const deployment = await deploy(config);
  const { app, engine, drain, decisions, tracer, logger } = deployment;

  const server = serve({ fetch: app.fetch, port: config.port, hostname: config.host }, ({ port }) => {
    const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
    console.log(`stlm listening on ${url} with ${engine.manifests.map(({ id }) => id).join(', ')}. Try:`);
    console.log(`  curl ${url}/v1/completions -d '{"model":"stlm-auto@300ms","prompt":"Once upon a time","max_tokens":80}'`);
    console.log(`or write in a browser: ${url}`);
    void warmUp(deployment);
  }) as Server;
  server.on('error', refuse);
  process.once('SIGTERM', stop).once('SIGINT', stop);
  // Not SIGHUP: that says the terminal is gone, and ends a server as it should.
  process.on('SIGUSR2', () => void requalify(engine, logger));

  async function stop(signal: string): Promise<void> {
    logger.info({ signal }, 'draining');
    await shutDown(drain, server, engine);
    await decisions?.close();
    await tracer.close();
    process.exit(0);
  }
}

/** A port that is taken is the operator's to mend: one line says it. */
function refuse(error: Error): void {
  console.error(`stlm: ${error.message}`);
  process.exit(1);
}
