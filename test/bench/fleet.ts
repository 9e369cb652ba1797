/**
 * `bench fleet`: one, two and four replicas of one worker each behind HAProxy, under open-loop loads. A load of 1 is what one core can
 * do for each replica; beyond the machine's cores replicas share them, and no more gets done. Then a model of larger fleets, made of the
 * service times that were measured and of the router's own decisions.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { defaultFile } from '../../functions/registry/manifest.js';
import { Registry } from '../../functions/registry/registry.js';
import { type Haproxy, startHaproxy } from '../fleet/haproxy.js';
import { lacks } from '../fleet/program.js';
import { type Replica, startReplica } from '../fleet/replica.js';
import { type Client, connect } from '../load/client.js';
import { openLoop } from '../load/open-loop.js';
import { scenarioTrace } from '../load/scenarios.js';
import { promptOf, type Trace } from '../load/trace.js';
import { fleetModel } from './fleet-model/report.js';
import { busyWarning, describeMachine } from './machine.js';
import { GRACE_MS, type RouterFigures, routerFigures } from './router-figures.js';
import { saturationPerSecond, serviceTimes } from './saturation.js';
import type { ServiceTime } from './service-times.js';
import { table } from './table.js';

export interface FleetOptions {
  readonly artifacts: string;
  readonly folder: string;
  readonly replicas: readonly number[];
  readonly seconds: number;
  readonly seed: number;
  readonly json?: string;
  /** The JSON of an earlier run: what tiers take is read from it instead of measured, and only the model runs. */
  readonly times?: string;
  readonly usdPerVcpuHour: number;
  readonly startMs: number;
  readonly storeGbits: number;
  readonly modelReplicas: number;
  readonly svg?: string;
}

export interface FleetRun {
  readonly replicas: number;
  readonly load: number;
  readonly figures: RouterFigures;
  /** Requests that each replica was sent. */
  readonly sent: readonly number[];
}

/** Below what a core can do, and far above it. */
const LOADS = [0.7, 4];
const POLL_MS = 100;
const LONGEST_WARM_UP_MS = 20_000;

export async function benchFleet(options: FleetOptions): Promise<void> {
  const times = options.times === undefined ? await measureFleets(options) : (JSON.parse(await readFile(options.times, 'utf8')) as { times: ServiceTime[] }).times;
  const { seed, startMs, usdPerVcpuHour, modelReplicas } = options;
  const storeMs = (8 * (await modelBytes(options))) / (options.storeGbits * 1e6);
  const { tables, svg } = fleetModel({ times, saturationPerSecond: saturationPerSecond(times, seed, 1), seed, startMs, storeMs, usdPerVcpuHour, most: modelReplicas });
  console.log(`\nThe model, at ${usdPerVcpuHour} USD per vCPU-hour, ${startMs} ms from the wish for a replica to its first request and a store of ${options.storeGbits} Gbit/s\n\n${tables}`);
  if (options.svg !== undefined) await writeFile(options.svg, svg);
}

async function measureFleets(options: FleetOptions): Promise<ServiceTime[]> {
  const machine = describeMachine();
  const warning = busyWarning(machine);
  if (warning !== undefined) console.error(warning);
  if (lacks('haproxy')) throw new Error('there is no fleet without HAProxy');
  const runs: FleetRun[] = [];
  let times: ServiceTime[] | undefined;
  for (const replicas of options.replicas) {
    const fleet = await openFleet(replicas, options);
    try {
      times ??= await serviceTimes(fleet.client, options, 1);
      const saturation = replicas * saturationPerSecond(times, options.seed, 1);
      for (const load of LOADS) runs.push(await measureLoad(fleet, { load, saturationPerSecond: saturation, ...options }, times));
    } finally {
      await fleet.close();
    }
  }
  console.log(fleetTable(runs));
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ date: new Date().toISOString(), machine, cores: availableParallelism(), times, runs }, null, 2)}\n`);
  }
  return times!;
}

/** What a replica fetches before its first start. */
async function modelBytes({ artifacts, folder }: FleetOptions): Promise<number> {
  const { manifests } = await Registry.open(new FolderStore(artifacts), new ModelFileCache(folder));
  return manifests.reduce((sum, manifest) => sum + defaultFile(manifest).bytes, 0);
}

interface Fleet {
  readonly replicas: readonly Replica[];
  readonly haproxy: Haproxy;
  readonly client: Client;
  close(): Promise<void>;
}

async function openFleet(count: number, { artifacts, folder }: FleetOptions): Promise<Fleet> {
  const environment = { STLM_ARTIFACTS: artifacts, STLM_CACHE: folder, LOG_LEVEL: 'silent' };
  const replicas: Replica[] = [];
  // One after the other: each measures its tiers as it loads them.
  for (let index = 0; index < count; index += 1) {
    const replica = await startReplica(environment);
    replicas.push(replica);
    await allWarm(replica);
  }
  const haproxy = await startHaproxy(replicas);
  const client = connect(haproxy.url);
  const close = async () => {
    await client.close();
    await haproxy.stop();
    await Promise.all(replicas.map((replica) => replica.stop()));
  };
  return { replicas, haproxy, client, close };
}

async function allWarm({ url }: Replica): Promise<void> {
  const latestMs = performance.now() + LONGEST_WARM_UP_MS;
  for (;;) {
    const { tiers } = (await (await fetch(`${url}/readyz`)).json()) as { tiers: { id: string; state: string }[] };
    if (tiers.every(({ state }) => state === 'ready')) return;
    if (performance.now() > latestMs) throw new Error(`not every tier is warm after ${LONGEST_WARM_UP_MS} ms: ${JSON.stringify(tiers)}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

interface Load {
  readonly load: number;
  readonly saturationPerSecond: number;
  readonly seconds: number;
  readonly seed: number;
}

async function measureLoad({ replicas, haproxy, client }: Fleet, { seconds, ...shape }: Load, times: readonly ServiceTime[]): Promise<FleetRun> {
  const trace: Trace = scenarioTrace('steady', { ...shape, durationMs: 1_000 * seconds });
  console.error(`  ${replicas.length} replicas: ${trace.requests.length} requests in ${seconds} s`);
  const before = await haproxy.servers();
  const answers = await openLoop(trace.requests, (request, index) => client.send({ model: 'stlm-auto', prompt: promptOf(index, request), ...request }));
  const after = await haproxy.servers();
  const replayed = answers.map((answer, index) => ({ request: trace.requests[index]!, answer, idleOracle: -1, capacityOracle: -1 }));
  const figures = routerFigures({ replayed, tiers: times.map(({ tier }) => tier), durationMs: trace.durationMs, log: [] });
  return { replicas: replicas.length, load: shape.load, figures, sent: after.map(({ requests }, index) => requests - before[index]!.requests) };
}

function fleetTable(runs: readonly FleetRun[]): string {
  const percent = (share: number) => (Number.isNaN(share) ? '-' : `${(100 * share).toFixed(1)}%`);
  const rows = runs.map(({ replicas, load, figures, sent }) => [
    String(replicas),
    load.toFixed(1),
    String(figures.offered),
    percent(figures.withinBudget),
    percent(figures.shed),
    figures.goodputRequestsPerSecond.toFixed(1),
    figures.goodputBytesPerSecond.toFixed(0),
    figures.tiers.map(({ requests }) => requests).join('/'),
    sent.join('/'),
  ]);
  const head = ['replicas', 'load', 'requests', `within budget + ${GRACE_MS} ms`, 'shed', 'requests/s in time', 'bytes/s in time', 'by tier', 'by replica'];
  return table(head, rows);
}
