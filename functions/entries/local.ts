/** The whole server inside this process, without a port: for commands where no server runs. */
import type { LocalServer } from '../cli/connect.js';
import type { Config } from '../config.js';
import { stableAt } from '../registry/stable.js';
import { warmUp } from '../warm-up.js';
import { deploy } from './deployment.js';

/** Warm before it is returned: a command's budget is for its text, not for loading models. */
export async function startLocal(config: Config): Promise<LocalServer> {
  const artifacts = await stableAt(config.artifacts);
  // It counts nobody's limits and is part of no trace.
  const deployment = await deploy({ ...config, artifacts, logLevel: 'silent', redisUrl: undefined, tracing: undefined });
  await warmUp(deployment);
  const { app, apiKey, drain, engine, decisions } = deployment;
  return {
    apiKey,
    broken: engine.status().flatMap(({ id, state, reason }) => (state === 'quarantined' ? [`${id}: ${reason}`] : [])),
    fetch: async (address, init) => app.request(String(address), init),
    close: async () => {
      await drain.start();
      await engine.close();
      await decisions?.close();
    },
  };
}
