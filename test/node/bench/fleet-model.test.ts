import { describe, expect, test } from 'vitest';
import { Autoscaler } from '../../bench/fleet-model/autoscaler.js';
import { LeastConnections } from '../../bench/fleet-model/balancer.js';
import { Heap } from '../../bench/fleet-model/heap.js';
import { Replica } from '../../bench/fleet-model/replica.js';
import { type FleetSettings, simulateFleet } from '../../bench/fleet-model/simulate.js';
import type { ServiceTime } from '../../bench/service-times.js';

/** [ms, ms a prompt patch, ms a byte] */
const tier = (name: string, coefficients: readonly [number, number, number]): ServiceTime => ({ tier: name, coefficients, contextPatches: 1_024, bytesPerPatch: 5, sharing: 1, scatterP95: 0 });
const TIMES = [tier('small', [2, 0.05, 0.1]), tier('large', [10, 0.2, 1])];
const FLEET: FleetSettings = {
  times: TIMES,
  seed: 1,
  durationMs: 10_000,
  perSecondAt: () => 100,
  mostPerSecond: 100,
  balancers: 1,
  agentEveryMs: 500,
  replicas: 20,
  startMs: 2_000,
  storeMs: 0,
};

test('a heap gives back what it holds by key, and equal keys in the order they came', () => {
  const heap = new Heap<string>();
  for (const [index, key] of [3, 1, 2, 1, 3, 2, 1].entries()) heap.push(key, `${key}${index}`);
  expect(Array.from({ length: 7 }, () => heap.pop())).toEqual(['11', '13', '16', '22', '25', '30', '34']);
  expect(heap.pop()).toBeUndefined();
});

describe('a balancer', () => {
  test('sends to the server with the fewest requests for its weight, and to none that was removed', () => {
    const balancer = new LeastConnections();
    for (const server of [1, 2, 3]) balancer.add(server);
    expect([balancer.send(), balancer.send(), balancer.send()]).toEqual([1, 2, 3]);
    balancer.end(2);
    expect(balancer.send()).toBe(2);
    balancer.weigh(3, 0.1);
    expect([balancer.send(), balancer.send()].toSorted()).toEqual([1, 2]);
    for (const server of [1, 2, 3]) balancer.remove(server);
    expect(balancer.send()).toBeUndefined();
  });
});

describe('an autoscaler', () => {
  const settings = { target: 2, least: 1, most: 100 };

  test('aims at so many requests in flight for each replica', () => {
    const autoscaler = new Autoscaler(settings);
    for (let tick = 0; tick < 40; tick += 1) autoscaler.tick(20, 10);
    expect(autoscaler.tick(20, 10)).toBe(10);
  });

  test('in a surge looks at the last seconds, and takes nothing away soon after', () => {
    const autoscaler = new Autoscaler(settings);
    for (let tick = 0; tick < 40; tick += 1) autoscaler.tick(4, 2);
    for (let tick = 0; tick < 3; tick += 1) autoscaler.tick(100, 2);
    expect(autoscaler.tick(100, 2)).toBe(50);
    expect(autoscaler.tick(0, 50)).toBe(50);
  });
});

describe('a replica', () => {
  const request = { promptBytes: 50, maxTokens: 50, budgetMs: 5_000 };

  test('serves the earliest deadline first, and ends each text at its deadline', () => {
    const ends: [string, number, number][] = [];
    const replica = new Replica(TIMES, 0);
    const offer = (name: string, budgetMs: number, surprise: number) =>
      replica.take({ request: { ...request, budgetMs }, arrivalMs: 0, surprise, onEnd: ({ atMs, bytes }) => ends.push([name, Math.round(atMs), bytes]) }, 0);
    expect(offer('wide', 5_000, 1)).toBe(1);
    expect(offer('tight', 200, 100)).toBe(1);
    replica.runUntil(10_000);
    expect(ends.map(([name, atMs]) => [name, atMs])).toEqual([['tight', 200], ['wide', 262]]);
    expect(ends[0]![2]).toBeLessThan(50);
    expect(ends[1]![2]).toBe(50);
  });

  test('sheds what it cannot begin in time, and refuses what no budget fits', () => {
    const replica = new Replica(TIMES, 0);
    const take = (budgetMs: number) => replica.take({ request: { ...request, budgetMs }, arrivalMs: 0, surprise: 1, onEnd: () => {} }, 0);
    expect(take(1)).toBe('infeasible');
    const answers = Array.from({ length: 100 }, () => take(300));
    expect(answers.at(-1)).toBe('overloaded');
    expect(replica.slack(0)).toBeLessThan(0.9);
  });
});

describe('the model of a fleet', () => {
  test('gives the same figures for the same seed, and others for another', () => {
    expect(simulateFleet(FLEET)).toEqual(simulateFleet(FLEET));
    expect(simulateFleet({ ...FLEET, seed: 2 })).not.toEqual(simulateFleet(FLEET));
  });

  test('answers nearly all on the largest tier with replicas to spare, and sheds when there are too few', () => {
    const [ample, scarce] = [simulateFleet({ ...FLEET, replicas: 100 }), simulateFleet({ ...FLEET, replicas: 1 })];
    expect(ample.inBudget).toBeGreaterThan(0.99);
    expect(ample.byTier[1]).toBeGreaterThan(scarce.byTier[1]!);
    expect(scarce.shed).toBeGreaterThan(0.1);
    expect(scarce.utilisation).toBeGreaterThan(0.8);
  });

  test('starts with none, and makes the first requests wait for the first replica', () => {
    const settings = { ...FLEET, durationMs: 60_000, perSecondAt: () => 0.5, mostPerSecond: 0.5, replicas: 0, autoscaler: { target: 1, least: 0, most: 4 } };
    const { waitedForStart, mostReplicas, replicaSeconds } = simulateFleet(settings);
    expect(waitedForStart).toBeGreaterThan(0);
    expect(waitedForStart).toBeLessThan(0.5);
    expect(mostReplicas).toBeGreaterThan(0);
    expect(replicaSeconds).toBeLessThan(4 * 60);
  });
});
