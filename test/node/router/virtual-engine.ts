/**
 * An engine in virtual time: workers that run patches earliest deadline first and cost what they are told to, so that a minute of
 * load is routed in a moment and every run of a test is the same run. It implements the engine's contract, and of its workings
 * only how texts share runs.
 */
import type { Engine, GenerateOptions, GenerateResult, Piece, Placement, StopCause, TierStatus } from '../../../functions/engine/types.js';
import { chooseRun, type Waiting } from '../../../functions/engine/choose-run.js';
import { chunkPatches } from '../../../functions/engine/chunk.js';
import type { Manifest } from '../../../functions/schema/manifest.js';

export interface VirtualTier {
  readonly id: string;
  readonly loadMs: number;
  readonly prefillPatchMs: number;
  readonly decodePatchMs: number;
  readonly bytesPerPatch: number;
  readonly trunk: { readonly layers: number; readonly width: number };
}

export interface VirtualMachine {
  readonly workers: number;
  readonly tiers: readonly VirtualTier[];
  /** What the manifests claim, as a multiple of what is true: another machine's seeds. */
  readonly seedFactor: number;
  /** How much slower the machine is at an instant. */
  readonly slowdownAt: (nowMs: number) => number;
  /** How much slower two workers are that compute at once. */
  readonly sharing: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly quarantined?: readonly string[];
  /** Tiers for which there is no memory where they are not warm yet. */
  readonly roomless?: readonly string[];
  /** What each further text in a decode run adds to it, as a share of a run of one. */
  readonly slope?: number;
  /** How much longer a load takes than the tier says. */
  readonly loadSlowdown?: number;
}

interface Job {
  readonly tier: VirtualTier;
  readonly options: GenerateOptions;
  readonly signal: AbortSignal;
  readonly order: number;
  readonly startedAtMs: number;
  readonly promptPatches: number;
  unreadPatches: number;
  bytes: number;
  patches: number;
  prefillMs: number;
  decodeMs: number;
  decodeAloneMs: number;
  decodeRuns: number;
  decodeTexts: number;
  readonly loadMs: number;
  firstByteMs: number | undefined;
  readonly emit: (event: Uint8Array | GenerateResult) => void;
}

interface VirtualEvent {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class VirtualEngine implements Engine {
  readonly manifests: readonly Manifest[];
  readonly workers: number;
  readonly #machine: VirtualMachine;
  readonly #warm = new Set<string>();
  readonly #loading = new Map<string, Promise<number>>();
  readonly #jobs: Job[][];
  readonly #busy: boolean[];
  #events: VirtualEvent[] = [];
  #nowMs = 0;
  #order = 0;

  constructor(machine: VirtualMachine) {
    this.#machine = machine;
    this.workers = machine.workers;
    this.manifests = machine.tiers.map((tier) => virtualManifest(tier, machine.seedFactor));
    this.#jobs = Array.from({ length: machine.workers }, () => []);
    this.#busy = Array.from({ length: machine.workers }, () => false);
  }

  nowMs = (): number => this.#nowMs;

  /** Lets virtual time pass, one event after the other, each with all that follows from it at once. */
  async runUntil(untilMs: number): Promise<void> {
    await settled();
    for (;;) {
      const next = this.#events.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#events = this.#events.filter((event) => event !== next);
      this.#nowMs = next.atMs;
      next.run();
      await settled();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs === Infinity ? this.#nowMs : untilMs);
  }

  at(atMs: number, run: () => void): void {
    this.#events.push({ atMs, order: this.#order++, run });
  }

  status(): readonly TierStatus[] {
    return this.#machine.tiers.map(({ id }) => {
      const workers = Array.from({ length: this.workers }, (_, worker) => worker).filter((worker) => this.isWarm({ tier: id, worker }));
      return { id, state: this.#machine.quarantined?.includes(id) ? 'quarantined' : 'cold', workers, memoryBytes: 0 };
    });
  }

  cachedPatches(): readonly number[] {
    return Array.from({ length: this.workers }, () => 0);
  }

  isWarm({ tier, worker }: Placement): boolean {
    return this.#warm.has(`${tier}/${worker}`);
  }

  hasRoom(tier: string): boolean {
    return !this.#machine.roomless?.includes(tier);
  }

  load(placement: Placement): Promise<number> {
    const key = `${placement.tier}/${placement.worker}`;
    if (this.#warm.has(key)) return Promise.resolve(0);
    const under = this.#loading.get(key);
    if (under !== undefined) return under;
    const loadMs = this.#tier(placement.tier).loadMs * (this.#machine.loadSlowdown ?? 1);
    const flight = new Promise<number>((resolve) => {
      // A load blocks its worker as soon as the run in progress has ended.
      const begin = (): void => {
        if (this.#busy[placement.worker]) return this.at(this.#nowMs + 0.1, begin);
        this.#busy[placement.worker] = true;
        this.at(this.#nowMs + loadMs, () => {
          this.#busy[placement.worker] = false;
          this.#warm.add(key);
          this.#loading.delete(key);
          resolve(loadMs);
          this.#turn(placement.worker);
        });
      };
      begin();
    });
    this.#loading.set(key, flight);
    return flight;
  }

  async *generate(placement: Placement, options: GenerateOptions, signal: AbortSignal): AsyncGenerator<Piece, GenerateResult, void> {
    const calledAtMs = this.#nowMs;
    const tier = this.#tier(placement.tier);
    await this.load(placement);
    const loadMs = this.#nowMs - calledAtMs;
    const events: (Uint8Array | GenerateResult)[] = [];
    let wake = (): void => {};
    const promptPatches = 1 + Math.ceil(options.prompt.length / tier.bytesPerPatch);
    this.#jobs[placement.worker]?.push({
      tier,
      options,
      signal,
      order: this.#order++,
      startedAtMs: calledAtMs,
      promptPatches,
      unreadPatches: promptPatches,
      bytes: 0,
      patches: 0,
      prefillMs: 0,
      decodeMs: 0,
      decodeAloneMs: 0,
      decodeRuns: 0,
      decodeTexts: 0,
      loadMs,
      firstByteMs: undefined,
      emit: (event) => {
        events.push(event);
        wake();
      },
    });
    this.#turn(placement.worker);
    for (;;) {
      const event = events.shift();
      if (event === undefined) await new Promise<void>((resolve) => (wake = resolve));
      else if (event instanceof Uint8Array) yield { bytes: event };
      else return event;
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #tier(id: string): VirtualTier {
    const tier = this.#machine.tiers.find((tier) => tier.id === id);
    if (tier === undefined) throw new RangeError(id);
    return tier;
  }

  /** Begins the next run of a worker, if it is free and has one. */
  #turn(worker: number): void {
    const jobs = this.#jobs[worker] ?? [];
    if (this.#busy[worker]) return;
    const [first, ...others] = jobs
      .toSorted((a, b) => a.options.deadlineAtMs - b.options.deadlineAtMs || a.patches - b.patches || a.order - b.order)
      .map((job) => this.#waiting(worker, job));
    if (first === undefined) return;
    const together = chooseRun([first, ...others], this.#nowMs).map(({ job }) => job);
    const job = together[0]!;
    const chunk = Math.min(job.unreadPatches, chunkPatches(job.tier.trunk));
    const decodes = chunk === job.unreadPatches;
    const factor = this.#batchFactor(together.length);
    const expectedMs = this.#slowness(worker) * factor * ((chunk - (decodes ? 1 : 0)) * job.tier.prefillPatchMs + (decodes ? job.tier.decodePatchMs : 0));
    for (const each of together) {
      const cause = each.signal.aborted ? 'cancelled' : this.#nowMs + 1.1 * expectedMs > each.options.deadlineAtMs ? 'deadline' : undefined;
      if (cause === undefined) continue;
      this.#end(worker, each, cause);
      return this.#turn(worker);
    }
    this.#busy[worker] = true;
    const runMs = expectedMs * (0.9 + 0.2 * this.#machine.random());
    this.at(this.#nowMs + runMs, () => {
      this.#busy[worker] = false;
      for (const each of together) {
        each.unreadPatches -= chunk;
        if (each.patches === 0) each.prefillMs += runMs;
        else {
          each.decodeMs += runMs;
          each.decodeAloneMs += runMs / factor;
          each.decodeRuns += 1;
          each.decodeTexts += together.length;
        }
        if (decodes) this.#emitPatch(worker, each);
      }
      this.#turn(worker);
    });
  }

  /** As the engine's workers see what waits for a run. */
  #waiting(worker: number, job: Job): Waiting & { readonly job: Job } {
    const { tier, options, patches, bytes, unreadPatches } = job;
    const stepMs = this.#slowness(worker) * tier.decodePatchMs;
    const readMs = patches > 0 ? 0 : this.#slowness(worker) * (unreadPatches - 1) * tier.prefillPatchMs + stepMs;
    const runs = Math.ceil((options.maxBytes - bytes) / tier.bytesPerPatch) - (patches > 0 ? 0 : 1);
    const likelyMs = (texts: number) => stepMs * this.#batchFactor(texts);
    const cautiousMs = (texts: number) => 1.1 * likelyMs(texts);
    const shares = options.seed === undefined ? { tier: tier.id, most: chunkPatches(tier.trunk), readMs, runs, likelyMs, cautiousMs } : undefined;
    return { job, deadlineMs: options.deadlineAtMs, aloneMs: readMs + runs * stepMs, shares };
  }

  #batchFactor(texts: number): number {
    return 1 + (this.#machine.slope ?? 0.2) * (texts - 1);
  }

  #emitPatch(worker: number, job: Job): void {
    const wanted = Math.max(1, Math.round(job.tier.bytesPerPatch * (0.5 + this.#machine.random())));
    const bytes = Math.min(wanted, job.options.maxBytes - job.bytes);
    job.unreadPatches = 1;
    job.patches += 1;
    job.bytes += bytes;
    job.firstByteMs ??= this.#nowMs - job.startedAtMs;
    job.emit(new Uint8Array(bytes));
    if (job.bytes === job.options.maxBytes) this.#end(worker, job, 'length');
  }

  #end(worker: number, job: Job, stopCause: StopCause): void {
    this.#jobs[worker] = (this.#jobs[worker] ?? []).filter((other) => other !== job);
    const wholeMs = this.#nowMs - job.startedAtMs;
    job.emit({
      stopCause,
      promptPatches: job.promptPatches,
      cachedPatches: 0,
      cachedBytes: 0,
      completionBytes: job.bytes,
      decodedPatches: job.patches,
      contextTruncated: false,
      meanBatch: job.decodeRuns > 0 ? job.decodeTexts / job.decodeRuns : 1,
      timings: {
        queueMs: wholeMs - job.loadMs - job.prefillMs - job.decodeMs,
        loadMs: job.loadMs,
        prefillMs: job.prefillMs,
        decodeMs: job.decodeMs,
        decodeAloneMs: job.decodeAloneMs,
        coreMs: job.prefillMs + job.decodeAloneMs,
        firstByteMs: job.firstByteMs ?? wholeMs,
      },
    });
  }

  #slowness(worker: number): number {
    const shared = this.#busy.some((busy, other) => busy && other !== worker) ? this.#machine.sharing : 1;
    return shared * this.#machine.slowdownAt(this.#nowMs);
  }
}

/** All promise callbacks that can run have run once a macrotask comes up. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function virtualManifest(tier: VirtualTier, seedFactor: number): Manifest {
  return {
    schemaVersion: 1,
    id: tier.id,
    parameters: { unique: 1, effective: 1, embedding: 0 },
    patch: { ruleHash: '0'.repeat(64), cap: 12 },
    vocabulary: 272,
    context: { patches: 1024 },
    trunk: { ...tier.trunk, kvHeads: 1, headDim: 64 },
    bytesPerPatch: tier.bytesPerPatch,
    files: [{ name: `${tier.id}.int4.onnx`, precision: 'int4', bytes: 1, sha256: '0'.repeat(64) }],
    defaultPrecision: 'int4',
    graph: { inputs: [], outputs: [] },
    evaluation: { command: '', date: '', bitsPerByte: [], mean: 1 },
    training: { bytesSeen: 0, commit: '', seed: 0, sources: [] },
    golden: { prompt: '', ids: [0] },
    latencySeed: {
      machine: 'virtual',
      threads: 1,
      loadMs: tier.loadMs * seedFactor,
      prefillPatchMs: tier.prefillPatchMs * seedFactor,
      decodePatchMs: tier.decodePatchMs * seedFactor,
    },
  };
}
