/**
 * Which tiers the workers hold in memory: makes room for a load within the budget, and frees what has been idle. The rules are those of
 * `memory.ts`.
 *
 * @module
 */
import type { Manifest } from '../schema/manifest.js';
import { TierUnavailableError } from './errors.js';
import { bytesOf, type Copy, evictions, type Footprint, footprint, idleCopies } from './memory.js';
import type { Placement } from './types.js';
import type { WorkerHost } from './worker-host.js';

/** How often idle copies are looked for: a quarter of the time they may be idle, and no seldomer than this. */
const LONGEST_CHECK_MS = 60_000;

export interface ResidencyRules {
  /** For loaded tiers and the caches of their texts; undefined: without bounds. */
  readonly memoryBytes?: number | undefined;
  /** Copies that no text has used for so long are unloaded; undefined: none. */
  readonly idleUnloadMs?: number | undefined;
  /** Tiers of which one copy stays, however idle. The smallest stays on every worker. */
  readonly kept?: readonly string[] | undefined;
}

interface ResidencyParts extends ResidencyRules {
  readonly hosts: readonly WorkerHost[];
  /** Ascending by size. */
  readonly manifests: readonly Manifest[];
  readonly nowMs: () => number;
}

/** A placement that somebody waits to see warm. Its memory is set aside once `room` is there. */
interface Arrival {
  callers: number;
  room: Promise<void> | undefined;
}

export class Residency {
  readonly #hosts: readonly WorkerHost[];
  readonly #footprints: ReadonlyMap<string, Footprint>;
  readonly #smallest: string;
  readonly #budgetBytes: number;
  readonly #kept: readonly string[];
  readonly #nowMs: () => number;
  /** Worker by worker, by tier. */
  readonly #arrivals: readonly Map<string, Arrival>[];
  readonly #check: NodeJS.Timeout | undefined;

  constructor({ hosts, manifests, nowMs, memoryBytes = Infinity, idleUnloadMs, kept = [] }: ResidencyParts) {
    this.#hosts = hosts;
    this.#footprints = new Map(manifests.map((manifest) => [manifest.id, footprint(manifest)]));
    this.#smallest = manifests[0]?.id ?? '';
    this.#budgetBytes = memoryBytes;
    this.#kept = kept;
    this.#nowMs = nowMs;
    this.#arrivals = hosts.map(() => new Map<string, Arrival>());
    if (idleUnloadMs !== undefined) {
      this.#check = setInterval(() => this.#unloadIdle(idleUnloadMs), Math.min(idleUnloadMs / 4, LONGEST_CHECK_MS)).unref();
    }
  }

  /** Why one more copy would not fit, not even in the place of idle ones; undefined if it would. */
  lack(tier: string): string | undefined {
    if (this.#evictionsFor(tier) !== undefined) return undefined;
    const [neededMiB, usedMiB, allMiB] = [this.#footprint(tier).copy, bytesOf(this.#copies()), this.#budgetBytes].map(inMiB);
    return `no memory: it takes ${neededMiB} MiB, and ${usedMiB} of ${allMiB} are in use`;
  }

  /** Whether a copy that is there could be opened once more without any having to go. */
  hasRoomToWiden(tier: string): boolean {
    return bytesOf(this.#copies()) + this.#footprint(tier).session <= this.#budgetBytes;
  }

  isArriving(tier: string): boolean {
    return this.#arrivals.some((arrivals) => arrivals.has(tier));
  }

  /** What a tier takes on all workers. */
  bytesOf(tier: string): number {
    return bytesOf(this.#copies().filter((copy) => copy.tier === tier));
  }

  /** Runs `load` for a placement that is or becomes warm; `load` calls back, before it needs memory, to have room made. */
  async arrive<T>({ tier, worker }: Placement, load: (makeRoom: () => Promise<void>) => Promise<T>): Promise<T> {
    const arrivals = this.#arrivals[worker] as Map<string, Arrival>;
    const arrival = arrivals.get(tier) ?? { callers: 0, room: undefined };
    arrivals.set(tier, arrival);
    arrival.callers += 1;
    try {
      return await load(() => (arrival.room ??= this.#makeRoom(tier, worker)));
    } finally {
      arrival.callers -= 1;
      if (arrival.callers === 0) arrivals.delete(tier);
    }
  }

  close(): void {
    clearInterval(this.#check);
  }

  /** Ends when what had to go has gone. @throws {TierUnavailableError} */
  async #makeRoom(tier: string, worker: number): Promise<void> {
    if (isIn(this.#hosts[worker] as WorkerHost, tier)) return;
    const evicted = this.#evictionsFor(tier);
    if (evicted === undefined) throw new TierUnavailableError(`${tier}: ${this.lack(tier)}`);
    await Promise.all(evicted.map((copy) => this.#unload(copy)));
  }

  #evictionsFor(tier: string): readonly Copy[] | undefined {
    const demand = { bytes: this.#footprint(tier).copy, budgetBytes: this.#budgetBytes, smallest: this.#smallest, nowMs: this.#nowMs() };
    return evictions(this.#copies(), demand);
  }

  #unloadIdle(leastMs: number): void {
    const idle = idleCopies(this.#copies(), { leastMs, smallest: this.#smallest, kept: this.#kept, nowMs: this.#nowMs() });
    for (const copy of idle) void this.#unload(copy);
  }

  #unload({ tier, worker }: Placement): Promise<void> {
    return (this.#hosts[worker] as WorkerHost).unload(tier);
  }

  /** All that takes memory, or has had it set aside. */
  #copies(): readonly Copy[] {
    return this.#hosts.flatMap((host, worker) => {
      const held = host.held.map(({ model: { tier }, state, wide, texts, loadedAtMs, usedAtMs }) => {
        const { copy, session, text } = this.#footprint(tier);
        return { tier, worker, bytes: copy + (wide ? session : 0) + texts * text, warm: state === 'warm', texts, loadedAtMs, usedAtMs };
      });
      const arriving = [...(this.#arrivals[worker] as Map<string, Arrival>)]
        .filter(([tier, { room }]) => room !== undefined && !isIn(host, tier))
        .map(([tier]) => ({ tier, worker, bytes: this.#footprint(tier).copy, warm: false, texts: 0, loadedAtMs: Infinity, usedAtMs: Infinity }));
      return [...held, ...arriving];
    });
  }

  #footprint(tier: string): Footprint {
    return this.#footprints.get(tier) ?? { copy: 0, session: 0, text: 0 };
  }
}

/** Warm, or about to be. */
function isIn(host: WorkerHost, tier: string): boolean {
  return host.held.some(({ model, state }) => model.tier === tier && state !== 'unloading');
}

function inMiB(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}
