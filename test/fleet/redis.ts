/** A Redis of its own for a test: on loopback, in memory. */
import { connect } from 'node:net';
import { once } from 'node:events';
import { freePort } from './free-port.js';
import { type Program, startProgram } from './program.js';

export interface RedisServer extends Program {
  readonly url: string;
  readonly port: number;
}

export async function startRedis(atPort?: number): Promise<RedisServer> {
  const port = atPort ?? (await freePort());
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const program = await startProgram('redis-server', args, async () => {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
    return true;
  });
  return { ...program, port, url: `redis://127.0.0.1:${port}` };
}
