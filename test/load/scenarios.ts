/** Loads that a router has to bear, as multiples of the rate at which its workers are saturated. */
import { bursty, poisson } from './arrivals.js';
import { seededRandom } from './seeded.js';
import { mixedRequests, type Trace } from './trace.js';

export interface LoadShape {
  /** Requests per second at a load of 1. */
  readonly saturationPerSecond: number;
  readonly durationMs: number;
  readonly seed: number;
  /** Overrides the scenario's own load. */
  readonly load?: number;
}

interface Scenario {
  readonly load: number;
  readonly arrivals: (perSecond: number, durationMs: number, random: () => number) => number[];
  /** The shares of the duration between which a core is burnt. */
  readonly noise?: readonly [number, number];
  /** The server has loaded nothing but its smallest tier when the load begins. */
  readonly cold?: boolean;
}

const BURSTS = { burstFactor: 6, calmMs: 3_000, burstMs: 750 };

export const SCENARIOS = {
  steady: { load: 0.7, arrivals: poisson },
  burst: { load: 0.7, arrivals: (perSecond, durationMs, random) => bursty({ perSecond, ...BURSTS }, durationMs, random) },
  cold: { load: 0.7, arrivals: poisson, cold: true },
  noisy: { load: 0.5, arrivals: poisson, noise: [1 / 3, 2 / 3] },
  overload: { load: 10, arrivals: poisson },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;

export function scenarioTrace(name: ScenarioName, { saturationPerSecond, durationMs, seed, load }: LoadShape): Trace {
  const scenario: Scenario = SCENARIOS[name];
  const arrivalsMs = scenario.arrivals((load ?? scenario.load) * saturationPerSecond, durationMs, seededRandom(seed));
  const noise = scenario.noise === undefined ? [] : [{ fromMs: scenario.noise[0] * durationMs, untilMs: scenario.noise[1] * durationMs }];
  return { scenario: name, seed, durationMs, noise, requests: mixedRequests(arrivalsMs, seed + 1) };
}
