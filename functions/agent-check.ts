/**
 * HAProxy's agent check: a TCP port that says, to whoever connects, how much of this server's weight it can bear just now. HAProxy reads
 * one line and multiplies the configured weight by it, so that replicas with queues get fewer of the next requests.
 *
 * @module
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/** A balancer asks once in a while; whoever holds more connections than this is none. */
const MOST_CONNECTIONS = 64;
const LONGEST_CONNECTION_MS = 2_000;
/** Weight 0 takes a replica out. One that is full stays in: it sheds with an answer, and if all are full somebody must. */
const LEAST_PERCENT = 1;

/** @param slack 0 to 1. `ready` revokes an earlier `drain`, as HAProxy keeps what it was last told. */
export function agentReply(leaving: boolean, slack: number): string {
  return leaving ? 'drain\n' : `ready up ${Math.max(LEAST_PERCENT, Math.round(100 * slack))}%\n`;
}

/** Resolves when it listens. @throws what keeps it from listening */
export async function listenForAgent(port: number, host: string, reply: () => string): Promise<Server> {
  const server = createServer((socket) => {
    socket.setTimeout(LONGEST_CONNECTION_MS, () => socket.destroy());
    // Whoever asked and left got what it wanted.
    socket.on('error', () => socket.destroy());
    socket.end(reply());
    socket.resume();
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.listen(port, host);
  await once(server, 'listening');
  return server.unref();
}
