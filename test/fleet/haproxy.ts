/** HAProxy on loopback, with the configuration that `deploy/` offers and only its addresses changed. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.js';
import { type Program, startProgram } from './program.js';

export const TEMPLATE = 'deploy/haproxy/haproxy.cfg';

export interface Backend {
  readonly port: number;
  readonly agentPort: number;
}

/** What HAProxy knows of a server, of its statistics. */
export interface ServerState {
  readonly name: string;
  /** Such as `UP`, `DOWN`, `DRAIN (agent)`. */
  readonly status: string;
  readonly weight: number;
  /** Requests sent to it so far. */
  readonly requests: number;
  readonly inFlight: number;
}

export interface Haproxy extends Program {
  readonly url: string;
  servers(): Promise<ServerState[]>;
}

export async function startHaproxy(backends: readonly Backend[]): Promise<Haproxy> {
  const folder = await mkdtemp(join(tmpdir(), 'stlm-haproxy-'));
  const config = join(folder, 'haproxy.cfg');
  const [port, statsPort] = [await freePort(), await freePort()];
  await writeFile(config, addressed(await readFile(TEMPLATE, 'utf8'), { port, statsPort, backends }));
  const servers = async () => parseStats(await (await fetch(`http://127.0.0.1:${statsPort}/;csv`)).text());
  const program = await startProgram('haproxy', ['-db', '-f', config], async () => (await servers()).every(({ status }) => status === 'UP'));
  const stop = async () => {
    await program.stop();
    await rm(folder, { recursive: true });
  };
  return { ...program, stop, url: `http://127.0.0.1:${port}`, servers };
}

function addressed(template: string, { port, statsPort, backends }: { port: number; statsPort: number; backends: readonly Backend[] }): string {
  const lines = backends.map((backend, index) => `    server replica${index + 1} 127.0.0.1:${backend.port} agent-port ${backend.agentPort}`);
  const replaced = template.replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`).replaceAll('127.0.0.1:8404', `127.0.0.1:${statsPort}`);
  return replaced.replace(/(?:^ {4}server .*\n)+/m, `${lines.join('\n')}\n`);
}

function parseStats(csv: string): ServerState[] {
  const [head = '', ...rows] = csv.replace(/^# /, '').trimEnd().split('\n');
  const names = head.split(',');
  return rows
    .map((row) => new Map(row.split(',').map((value, column) => [names[column] ?? '', value])))
    .filter((row) => row.get('pxname') === 'stlm' && row.get('svname') !== 'BACKEND')
    .map((row) => ({
      name: row.get('svname') ?? '',
      status: row.get('status') ?? '',
      weight: Number(row.get('weight')),
      requests: Number(row.get('stot')),
      inFlight: Number(row.get('scur')),
    }));
}
