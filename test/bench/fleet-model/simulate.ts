/**
 * A fleet in virtual time: open-loop arrivals, balancers that know their own requests and what agents last said, replicas that route as
 * the real ones do, and an autoscaler whose replicas take their time to start. The same seed gives the same figures.
 */
import { seededRandom } from '../../load/seeded.js';
import { mixedRequest, type TraceRequest } from '../../load/trace.js';
import type { ServiceTime } from '../service-times.js';
import { Autoscaler, type AutoscalerSettings, TICK_MS } from './autoscaler.js';
import { LeastConnections } from './balancer.js';
import { Heap } from './heap.js';
import { Replica } from './replica.js';

export interface FleetSettings {
  readonly times: readonly ServiceTime[];
  readonly seed: number;
  readonly durationMs: number;
  readonly perSecondAt: (nowMs: number) => number;
  readonly mostPerSecond: number;
  readonly balancers: number;
  /** Between two questions to an agent; Infinity: none is asked. */
  readonly agentEveryMs: number;
  /** There and ready at the beginning. */
  readonly replicas: number;
  /** Undefined: their number stays. */
  readonly autoscaler?: AutoscalerSettings;
  /** From the wish for a replica to its first request, once its models are on its machine. */
  readonly startMs: number;
  /** For which the one store is busy with each start. */
  readonly storeMs: number;
}

export interface FleetFigures {
  readonly offered: number;
  /** Of the feasible: answered inside the budget. */
  readonly inBudget: number;
  /** Of the feasible: refused at once. */
  readonly shed: number;
  /** Of the feasible: found no replica, and waited for one to start. */
  readonly waitedForStart: number;
  /** Of the answered, by tier. */
  readonly byTier: readonly number[];
  readonly bytes: number;
  readonly replicaSeconds: number;
  /** Of the replicas' time, spent on texts. */
  readonly utilisation: number;
  readonly mostReplicas: number;
}

/** Service times scatter like this around what is expected, log-normally. */
const SCATTER = 0.15;
const LEAST_WEIGHT = 0.01;

interface Member {
  readonly replica: Replica;
  readonly startedMs: number;
  scheduledMs: number;
  leaving: boolean;
}

interface Held {
  readonly request: TraceRequest;
  readonly arrivalMs: number;
}

export function simulateFleet(settings: FleetSettings): FleetFigures {
  return new Simulation(settings).run();
}

class Simulation {
  readonly #settings: FleetSettings;
  readonly #random: () => number;
  readonly #events = new Heap<() => void>();
  readonly #members = new Map<number, Member>();
  readonly #balancers: readonly LeastConnections[];
  readonly #autoscaler: Autoscaler | undefined;
  #held: Held[] = [];
  #nowMs = 0;
  #lastId = 0;
  #starting = 0;
  #storeFreeMs = 0;
  #inFlight = 0;
  /** Requests in flight, times milliseconds, since the last tick. */
  #areaMs = 0;
  #areaAtMs = 0;
  #goneReplicaMs = 0;
  #busyMs = 0;
  #feasible = 0;
  #answered = 0;
  #shed = 0;
  #waited = 0;
  #bytes = 0;
  #offered = 0;
  #mostReplicas = 0;
  readonly #byTier: number[];

  constructor(settings: FleetSettings) {
    this.#settings = settings;
    this.#random = seededRandom(settings.seed);
    this.#balancers = Array.from({ length: settings.balancers }, () => new LeastConnections());
    this.#autoscaler = settings.autoscaler && new Autoscaler(settings.autoscaler);
    this.#byTier = settings.times.map(() => 0);
  }

  run(): FleetFigures {
    const { replicas, agentEveryMs, durationMs } = this.#settings;
    for (let index = 0; index < replicas; index += 1) this.#join(0);
    this.#arriveNext();
    if (this.#autoscaler !== undefined) this.#at(TICK_MS, () => this.#tick());
    if (agentEveryMs < Infinity) this.#at(agentEveryMs, () => this.#askAgents());
    // What is in flight at the end is still answered.
    for (let event = this.#events.pop(); event !== undefined; event = this.#events.pop()) event();
    for (const [id] of this.#members) this.#leave(id, durationMs);
    const replicaMs = this.#goneReplicaMs;
    return {
      offered: this.#offered,
      inBudget: this.#answered / this.#feasible,
      shed: this.#shed / this.#feasible,
      waitedForStart: this.#waited / this.#feasible,
      byTier: this.#byTier.map((count) => count / this.#answered),
      bytes: this.#bytes,
      replicaSeconds: replicaMs / 1_000,
      utilisation: this.#busyMs / replicaMs,
      mostReplicas: this.#mostReplicas,
    };
  }

  #at(atMs: number, run: () => void): void {
    this.#events.push(atMs, () => {
      this.#nowMs = atMs;
      run();
    });
  }

  /** A Poisson process whose rate changes: candidates at the highest rate, thinned. */
  #arriveNext(): void {
    const { perSecondAt, mostPerSecond, durationMs } = this.#settings;
    let atMs = this.#nowMs;
    do atMs += (-Math.log(1 - this.#random()) / mostPerSecond) * 1_000;
    while (atMs < durationMs && this.#random() >= perSecondAt(atMs) / mostPerSecond);
    if (atMs >= durationMs) return;
    this.#at(atMs, () => {
      this.#offered += 1;
      this.#send({ request: mixedRequest(atMs, this.#random), arrivalMs: atMs });
      this.#arriveNext();
    });
  }

  #send(sent: Held): void {
    const balancer = this.#balancers[Math.floor(this.#random() * this.#balancers.length)]!;
    const server = balancer.send();
    if (server === undefined) {
      this.#count(1);
      this.#held.push(sent);
      if (this.#starting === 0) this.#start();
      return;
    }
    const member = this.#members.get(server)!;
    const onEnd = ({ bytes }: { bytes: number }) => {
      this.#count(-1);
      balancer.end(server);
      if (bytes > 0) this.#answered += 1;
      this.#bytes += bytes;
    };
    const taken = member.replica.take({ ...sent, surprise: this.#surprise(), onEnd }, this.#nowMs);
    if (taken !== 'infeasible' || sent.arrivalMs < this.#nowMs) this.#feasible += 1;
    if (typeof taken === 'number') {
      this.#count(1);
      this.#byTier[taken]! += 1;
    } else {
      balancer.end(server);
      if (taken === 'overloaded') this.#shed += 1;
    }
    this.#schedule(server, member);
  }

  #surprise(): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random());
    return Math.exp(SCATTER * normal);
  }

  /** The member's next end stands among the events, if it is sooner than what stands there. */
  #schedule(id: number, member: Member): void {
    const endMs = member.replica.nextEndMs;
    if (endMs === Infinity || member.scheduledMs === endMs) return;
    member.scheduledMs = endMs;
    this.#at(endMs, () => {
      if (!this.#members.has(id) || member.scheduledMs !== endMs) return;
      member.replica.runUntil(endMs);
      member.scheduledMs = -1;
      if (member.leaving && member.replica.inFlight === 0) this.#leave(id, endMs);
      else this.#schedule(id, member);
    });
  }

  #askAgents(): void {
    for (const [id, { replica, leaving }] of this.#members) {
      if (leaving) continue;
      const weight = Math.max(LEAST_WEIGHT, Math.round(100 * replica.slack(this.#nowMs)) / 100);
      for (const balancer of this.#balancers) balancer.weigh(id, weight);
      this.#schedule(id, this.#members.get(id)!);
    }
    const { agentEveryMs, durationMs } = this.#settings;
    if (this.#nowMs < durationMs) this.#at(this.#nowMs + agentEveryMs, () => this.#askAgents());
  }

  #tick(): void {
    this.#count(0);
    const serving = [...this.#members].filter(([, { leaving }]) => !leaving);
    const there = serving.length + this.#starting;
    const wanted = this.#autoscaler!.tick(this.#areaMs / TICK_MS, there);
    this.#areaMs = 0;
    for (let index = there; index < wanted; index += 1) this.#start();
    for (const [id, member] of serving.slice(Math.max(0, wanted - this.#starting))) this.#drain(id, member);
    if (this.#nowMs < this.#settings.durationMs) this.#at(this.#nowMs + TICK_MS, () => this.#tick());
  }

  #start(): void {
    const { startMs, storeMs } = this.#settings;
    const wishedMs = this.#nowMs;
    this.#starting += 1;
    this.#storeFreeMs = Math.max(this.#storeFreeMs, wishedMs) + storeMs;
    this.#at(this.#storeFreeMs + startMs, () => {
      this.#starting -= 1;
      this.#join(wishedMs);
      const held = this.#held;
      this.#held = [];
      for (const request of held) {
        this.#count(-1);
        this.#waited += 1;
        this.#send(request);
      }
    });
  }

  #join(paidFromMs: number): void {
    const id = (this.#lastId += 1);
    this.#members.set(id, { replica: new Replica(this.#settings.times, this.#nowMs), startedMs: paidFromMs, scheduledMs: -1, leaving: false });
    for (const balancer of this.#balancers) balancer.add(id);
    this.#mostReplicas = Math.max(this.#mostReplicas, this.#members.size);
  }

  #drain(id: number, member: Member): void {
    member.leaving = true;
    for (const balancer of this.#balancers) balancer.remove(id);
    if (member.replica.inFlight === 0) this.#leave(id, this.#nowMs);
  }

  #leave(id: number, atMs: number): void {
    const { replica, startedMs } = this.#members.get(id)!;
    this.#members.delete(id);
    // What is paid after the last arrival is nothing to be compared.
    this.#goneReplicaMs += Math.max(0, Math.min(atMs, this.#settings.durationMs) - startedMs);
    this.#busyMs += replica.busyMs;
  }

  #count(change: number): void {
    this.#areaMs += this.#inFlight * (this.#nowMs - this.#areaAtMs);
    this.#areaAtMs = this.#nowMs;
    this.#inFlight += change;
  }
}
