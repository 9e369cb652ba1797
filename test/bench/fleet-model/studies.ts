/** What is asked of the model: how large a fleet can be, what its autoscaler should aim at, and what it costs to have none when nobody asks. */
import type { ServiceTime } from '../service-times.js';
import { type FleetFigures, type FleetSettings, simulateFleet } from './simulate.js';

export interface StudySettings {
  readonly times: readonly ServiceTime[];
  /** Requests per second that fill one replica. */
  readonly saturationPerSecond: number;
  readonly seed: number;
  /** From the wish for a replica to its first request, its models being there. */
  readonly startMs: number;
  /** In which the store of models hands out those of one replica. */
  readonly storeMs: number;
}

export interface Study<Of> {
  readonly of: Of;
  readonly figures: FleetFigures;
}

const AGENT_MS = 500;
const STEADY_LOAD = 0.7;
/** Enough to see one request in a thousand go wrong, and few enough to wait for. */
const REQUESTS = 60_000;
const LEAST_STEADY_MS = 5_000;
const MOST_STEADY_MS = 60_000;

export interface Balancing {
  readonly replicas: number;
  readonly balancers: number;
  readonly agents: boolean;
}

/** Fleets that stay as they are, under a load that they bear, behind one balancer or several that do not know of each other's requests. */
export function studySizes(settings: StudySettings, sizes: readonly number[]): Study<Balancing>[] {
  const ways = sizes.flatMap((replicas) => [1, 8].flatMap((balancers) => [false, true].map((agents): Balancing => ({ replicas, balancers, agents }))));
  return ways.map((of) => {
    const perSecond = STEADY_LOAD * settings.saturationPerSecond * of.replicas;
    const durationMs = Math.min(MOST_STEADY_MS, Math.max(LEAST_STEADY_MS, (1_000 * REQUESTS) / perSecond));
    const figures = simulateFleet({ ...common(settings), durationMs, ...steady(perSecond), ...of, agentEveryMs: of.agents ? AGENT_MS : Infinity });
    return { of, figures };
  });
}

const TARGET_CORES = 50;
const SURGE_MS = 240_000;

/** A load that doubles for a third of the time, and an autoscaler that aims at so many requests in flight for each replica. */
export function studyTargets(settings: StudySettings, targets: readonly number[]): Study<{ readonly target: number }>[] {
  return targets.map((target) => ({ of: { target }, figures: surge(settings, { target, cores: TARGET_CORES, storeMs: 0, durationMs: SURGE_MS }) }));
}

export interface ColdHerd {
  readonly cores: number;
  /** The models are in the image, or come from one store. */
  readonly baked: boolean;
}

/** Short, so that the largest fleet can be followed through it. */
const HERD_MS = 30_000;

/** The same surge at a target, from small fleets to large ones: all that starts, starts at once. */
export function studyHerds(settings: StudySettings, target: number, sizes: readonly number[]): Study<ColdHerd>[] {
  const ways = sizes.flatMap((cores) => [true, false].map((baked): ColdHerd => ({ cores, baked })));
  return ways.map((of) => {
    const storeMs = of.baked ? 0 : settings.storeMs;
    return { of, figures: surge(settings, { target, cores: of.cores, storeMs, durationMs: HERD_MS }) };
  });
}

const GAP_REQUESTS = 400;

/** So rare requests that a fleet of none is worth it. */
export function studyGaps(settings: StudySettings, gapsS: readonly number[]): Study<{ readonly gapS: number }>[] {
  return gapsS.map((gapS) => {
    const autoscaler = { target: 1, least: 0, most: 4 };
    const run = { ...common(settings), durationMs: 1_000 * gapS * GAP_REQUESTS, ...steady(1 / gapS), replicas: 0, autoscaler };
    return { of: { gapS }, figures: simulateFleet(run) };
  });
}

function surge(settings: StudySettings, { target, cores, storeMs, durationMs }: { target: number; cores: number; storeMs: number; durationMs: number }): FleetFigures {
  const calm = STEADY_LOAD * settings.saturationPerSecond * cores * 0.5;
  const inSurge = (nowMs: number) => nowMs >= durationMs / 3 && nowMs < (2 * durationMs) / 3;
  return simulateFleet({
    ...common(settings),
    storeMs,
    durationMs,
    perSecondAt: (nowMs) => (inSurge(nowMs) ? 2 * calm : calm),
    mostPerSecond: 2 * calm,
    replicas: Math.ceil(cores / 2),
    autoscaler: { target, least: 1, most: 20 * cores },
  });
}

function common({ times, seed, startMs, storeMs }: StudySettings): Omit<FleetSettings, 'durationMs' | 'perSecondAt' | 'mostPerSecond' | 'replicas'> {
  return { times, seed, startMs, storeMs, balancers: 1, agentEveryMs: Infinity };
}

function steady(perSecond: number): Pick<FleetSettings, 'perSecondAt' | 'mostPerSecond'> {
  return { perSecondAt: () => perSecond, mostPerSecond: perSecond };
}
