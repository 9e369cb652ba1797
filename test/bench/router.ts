/**
 * `bench router`: the real server in a process of its own, over loopback HTTP. Measures every tier on the idle server, finds the rate
 * at which the server is saturated, and replays a mixed open-loop load at a share of it.
 */
import { writeFile } from 'node:fs/promises';
import { type Client, connect } from '../load/client.js';
import { closedLoop } from '../load/closed-loop.js';
import { mixedRequest } from '../load/mix.js';
import { openLoop } from '../load/open-loop.js';
import { seededRandom } from '../load/seeded.js';
import { startServer } from '../server-process.js';
import { busyWarning, describeMachine } from './machine.js';
import { GRACE_MS, type Replayed, type RouterFigures, routerFigures } from './router-figures.js';
import { routerPlot } from './router-plot.js';
import { measureServiceTime, serviceMs, type ServiceTime } from './service-times.js';
import { table } from './table.js';

export interface RouterOptions {
  readonly artifacts: string;
  readonly folder: string;
  readonly seconds: number;
  readonly seed: number;
  readonly load: number;
  readonly json: string | undefined;
  readonly svg: string | undefined;
}

const SATURATING_CLIENTS = 16;
const SETTLING_MS = 3_000;
const SATURATION_MS = 10_000;
const MOST_REQUESTS = 20_000;

export async function benchRouter({ artifacts, folder, seconds, seed, load, json, svg }: RouterOptions): Promise<void> {
  const machine = describeMachine();
  const warning = busyWarning(machine);
  if (warning !== undefined) console.error(warning);
  const server = await startServer({ STLM_ARTIFACTS: artifacts, STLM_CACHE: folder, LOG_LEVEL: 'warn' });
  const client = connect(server.url);
  try {
    const oracle: ServiceTime[] = [];
    for (const tier of await tierIds(server.url)) {
      oracle.push(await measureServiceTime(client, tier));
      console.error(`  ${tier} alone: ${serviceMs(oracle.at(-1)!, 300, 64).toFixed(0)} ms for 64 bytes after a prompt of 300`);
    }
    const saturation = await saturationPerSecond(client, seed);
    console.error(`  saturated at ${saturation.toFixed(1)} requests/s; offering ${(load * saturation).toFixed(1)} for ${seconds} s`);
    const replayed = await replay(client, load * saturation, seconds, seed);
    const figures = routerFigures(replayed, oracle);
    console.log(summary(figures));
    const date = new Date().toISOString();
    if (json !== undefined) await writeFile(json, `${JSON.stringify({ date, machine, seconds, seed, load, saturation, oracle, ...figures }, null, 2)}\n`);
    if (svg !== undefined) await writeFile(svg, routerPlot(replayed, oracle.map(({ tier }) => tier), plotTitle(load, figures)));
  } finally {
    await client.close();
    await server.stop();
  }
}

/** Ascending by size. */
async function tierIds(url: string): Promise<string[]> {
  const { tiers } = (await (await fetch(`${url}/readyz`)).json()) as { tiers: { id: string; state: string }[] };
  return tiers.filter(({ state }) => state !== 'quarantined').map(({ id }) => id);
}

/** Answers per second when there is always someone waiting; refused clients come back when they are told to. */
async function saturationPerSecond(client: Client, seed: number): Promise<number> {
  const random = seededRandom(seed);
  let answered = 0;
  const send = async () => {
    const { status, retryAfterMs } = await client.send({ model: 'stlm-auto', ...mixedRequest(random) });
    if (status === 200) answered += 1;
    return status === 200 ? 0 : (retryAfterMs ?? 1);
  };
  await closedLoop({ clients: SATURATING_CLIENTS, durationMs: SETTLING_MS }, send);
  answered = 0;
  await closedLoop({ clients: SATURATING_CLIENTS, durationMs: SATURATION_MS }, send);
  return (answered / SATURATION_MS) * 1_000;
}

function replay(client: Client, perSecond: number, seconds: number, seed: number): Promise<Replayed[]> {
  const random = seededRandom(seed + 1);
  return openLoop({ perSecond, durationMs: seconds * 1_000, mostRequests: MOST_REQUESTS, random: seededRandom(seed) }, async () => {
    const request = mixedRequest(random);
    return { request, answer: await client.send({ model: 'stlm-auto', ...request }) };
  });
}

function summary(figures: RouterFigures): string {
  const rows = figures.tiers.map(({ tier, requests, errorP50, errorP95, overPredicted }) => [
    tier,
    String(requests),
    percent(errorP50),
    percent(errorP95),
    percent(overPredicted),
  ]);
  return [
    `${figures.offered} requests: ${entries(figures.statuses)}`,
    `of the admitted, within budget + ${GRACE_MS} ms     ${percent(figures.withinBudget)}`,
    `of the feasible, answered in budget     ${percent(figures.servedInBudget)}`,
    `of the admitted, cut by the deadline    ${percent(figures.cutByDeadline)}`,
    `of the admitted, on the largest feasible ${percent(figures.onLargestFeasible)}`,
    `shed                                    ${percent(figures.shed)}, answered within ${figures.shedAnswerP99Ms.toFixed(1)} ms at p99`,
    `reasons                                 ${entries(figures.reasons)}`,
    '',
    table(['tier', 'requests', 'error p50', 'error p95', 'over p95 promise'], rows),
  ].join('\n');
}

function plotTitle(load: number, { withinBudget, onLargestFeasible, offered }: RouterFigures): string {
  return `${offered} requests at ${percent(load)} load: ${percent(withinBudget)} within budget, ${percent(onLargestFeasible)} on the largest feasible tier`;
}

function entries(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(share * 100).toFixed(1)}%`;
}
