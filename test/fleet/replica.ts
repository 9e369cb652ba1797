/** One server of a fleet: a process on ports that HAProxy is told. */
import { type ServerProcess, startServer } from '../server-process.js';
import { freePort } from './free-port.js';
import type { Backend } from './haproxy.js';

export interface Replica extends ServerProcess, Backend {}

/** @param at its ports, for a replica that comes back; free ones otherwise */
export async function startReplica(environment: Record<string, string> = {}, at?: Backend): Promise<Replica> {
  const { port, agentPort } = at ?? { port: await freePort(), agentPort: await freePort() };
  const server = await startServer({ STLM_WORKERS: '1', ...environment, PORT: String(port), STLM_AGENT_PORT: String(agentPort) });
  return { ...server, port, agentPort };
}
