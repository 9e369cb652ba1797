/**
 * `bench router`: the real server in a process of its own, over loopback HTTP, under an open-loop load. What each tier takes is measured
 * first, on the idle server. A load of 1 is the rate at which the cores would always be busy if every request ran on the largest tier
 * that its budget allows alone: at more, no oracle can give everybody the best, and well below it one nearly can. The server can answer
 * many more than that, on smaller tiers.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, connect } from '../load/client.js';
import { type MemorySample, watchMemory } from '../load/memory.js';
import { makeNoise } from '../load/noise.js';
import { openLoop } from '../load/open-loop.js';
import { SCENARIOS, type ScenarioName, scenarioTrace } from '../load/scenarios.js';
import { promptOf, readTrace, type Trace, writeTrace } from '../load/trace.js';
import { type ServerProcess, startServer } from '../server-process.js';
import { busyWarning, describeMachine } from './machine.js';
import { capacityOracle, idleOracle } from './oracle.js';
import { readDecisionLog } from './replay.js';
import { type Replayed, type RouterFigures, routerFigures } from './router-figures.js';
import { routerPlot } from './router-plot.js';
import { ladderSummary, plotTitle, routerSummary } from './router-summary.js';
import { asOracleRequests, saturationPerSecond, serviceTimes } from './saturation.js';
import type { ServiceTime } from './service-times.js';

export interface RouterOptions {
  readonly artifacts: string;
  readonly folder: string;
  readonly scenario: ScenarioName;
  readonly seconds: number;
  readonly seed: number;
  /** Overrides the scenario's. */
  readonly load?: number;
  readonly policy: string;
  /** Instead of a scenario. */
  readonly trace?: string;
  readonly decisionLog?: string;
  readonly json?: string;
  readonly svg?: string;
}

export interface Run {
  readonly load: number;
  readonly trace: Trace;
  readonly figures: RouterFigures;
  readonly memory: readonly MemorySample[];
  readonly replayed: readonly Replayed[];
}

/** Of the saturating rate. The server is idle between two of them, for so long. */
const OVERLOADS = [1, 2, 4, 10];
const PAUSE_MS = 1_000;
const MEMORY_SAMPLE_MS = 250;
/** The capacity oracle tries its schedule anew for every request and tier. */
const MOST_FOR_CAPACITY_ORACLE = 3_000;

export async function benchRouter(options: RouterOptions): Promise<void> {
  const machine = describeMachine();
  const warning = busyWarning(machine);
  if (warning !== undefined) console.error(warning);
  const scratch = await mkdtemp(join(tmpdir(), 'stlm-bench-'));
  const decisionLog = options.decisionLog ?? join(scratch, 'decisions.jsonl');
  const environment = {
    STLM_ARTIFACTS: options.artifacts,
    STLM_CACHE: options.folder,
    STLM_POLICY: options.policy,
    STLM_DECISION_LOG: decisionLog,
    LOG_LEVEL: 'warn',
  };
  let { server, client } = await open(environment).catch(async (error: unknown) => {
    await rm(scratch, { recursive: true });
    throw error;
  });
  try {
    const times = await serviceTimes(client, options, availableParallelism());
    const saturation = saturationPerSecond(times, options.seed, availableParallelism());
    console.error(`  a load of 1 is ${saturation.toFixed(1)} requests/s on ${availableParallelism()} cores`);
    const done: Omit<Run, 'figures'>[] = [];
    for (const { load, trace } of await loads(options, saturation)) {
      if (trace.scenario === 'cold') {
        await shut(server, client);
        ({ server, client } = await open(environment));
      }
      console.error(`  ${trace.scenario}: ${trace.requests.length} requests in ${trace.durationMs / 1_000} s`);
      done.push({ load, trace, ...(await replay(server, client, trace, times)) });
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    await shut(server, client);
    const log = await readDecisionLog(decisionLog);
    const tiers = times.map(({ tier }) => tier);
    const runs = done.map(({ load, trace, memory, replayed }): Run => {
      const figures = routerFigures({ replayed, tiers, durationMs: trace.durationMs, log });
      return { load, trace, memory, replayed, figures };
    });
    for (const run of runs) console.log(`${routerSummary(run)}\n`);
    if (runs.length > 1) console.log(ladderSummary(runs));
    if (options.json !== undefined) {
      const figures = runs.map(({ load, trace, figures, memory }) => ({ load, scenario: trace.scenario, seconds: trace.durationMs / 1_000, ...figures, memory }));
      const head = { date: new Date().toISOString(), machine, seed: options.seed, policy: options.policy, saturation, times };
      await writeFile(options.json, `${JSON.stringify({ ...head, runs: figures }, null, 2)}\n`);
    }
    const last = runs.at(-1);
    if (options.svg !== undefined && last !== undefined) await writeFile(options.svg, routerPlot(last.replayed, tiers, plotTitle(last)));
  } finally {
    await shut(server, client);
    await rm(scratch, { recursive: true });
  }
}

async function open(environment: Record<string, string>): Promise<{ server: ServerProcess; client: Client }> {
  const server = await startServer(environment);
  return { server, client: connect(server.url) };
}

/** As often as it takes. */
async function shut(server: ServerProcess, client: Client): Promise<void> {
  await client.close();
  await server.stop();
}

async function loads({ trace, scenario, seconds, seed, load }: RouterOptions, saturation: number): Promise<{ load: number; trace: Trace }[]> {
  if (trace !== undefined) {
    const read = await readTrace(trace);
    return [{ load: (1_000 * read.requests.length) / read.durationMs / saturation, trace: read }];
  }
  const of = (share: number, durationMs: number) => ({
    load: share,
    trace: scenarioTrace(scenario, { saturationPerSecond: saturation, durationMs, seed, load: share }),
  });
  if (scenario === 'overload' && load === undefined) return OVERLOADS.map((share) => of(share, (1_000 * seconds) / OVERLOADS.length));
  return [of(load ?? SCENARIOS[scenario].load, 1_000 * seconds)];
}

async function replay(server: ServerProcess, client: Client, trace: Trace, times: readonly ServiceTime[]): Promise<Pick<Run, 'replayed' | 'memory'>> {
  const memory = watchMemory(server.process.pid!, MEMORY_SAMPLE_MS);
  const quiet = new AbortController();
  const noise = makeNoise(trace.noise, quiet.signal);
  const answers = await openLoop(trace.requests, (request, index) => client.send({ model: 'stlm-auto', prompt: promptOf(index, request), ...request }));
  quiet.abort();
  await noise;
  const asked = asOracleRequests(trace.requests, times);
  const chosen = asked.length > MOST_FOR_CAPACITY_ORACLE ? [] : capacityOracle(times, asked, availableParallelism());
  const replayed = answers.map((answer, index) => {
    const request = trace.requests[index]!;
    return { request, answer, idleOracle: idleOracle(times, asked[index]!), capacityOracle: chosen[index] ?? -1 };
  });
  return { replayed, memory: memory.stop() };
}

/** A trace as `bench router` would make it, for a machine that is saturated at a known rate. */
export async function benchTrace(options: { scenario: ScenarioName; saturation: number; seconds: number; seed: number; load?: number; out: string }): Promise<void> {
  const { scenario, saturation, seconds, seed, load, out } = options;
  const trace = scenarioTrace(scenario, { saturationPerSecond: saturation, durationMs: 1_000 * seconds, seed, ...(load !== undefined && { load }) });
  await writeTrace(out, trace);
  console.log(`${out}: ${trace.requests.length} requests in ${seconds} s`);
}
