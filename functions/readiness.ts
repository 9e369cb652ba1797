/**
 * Whether this server answers with the models its manifests describe: once a tier is warm its golden prompt is decoded greedily and
 * compared with the golden bytes. Proofs are made when asked for, once per tier, so that no load waits for one.
 *
 * @module
 */
import type { Engine, GenerateOptions } from './engine/types.js';
import type { Manifest } from './schema/manifest.js';

/**
 * `diverges`: the text begins as it should and then parts. Quantised kernels round differently from one instruction set to the next,
 * and a greedy text takes another way at the first near tie: the model is whole. `differs`: not even the first bytes are right.
 */
export type Golden = 'reproduced' | 'diverges' | 'differs' | 'unproven';

export interface Proof {
  readonly golden: Golden;
  /** How many of the golden bytes came before the first other one. */
  readonly matchedBytes: number;
}

/** A model that computes nonsense gives so many bytes by chance once in 256^4; rounding (up to 0.02 nat) never touched them by 0.2. */
const FIRST_BYTES = 4;
const FIRST_SPECIAL_ID = 256;
const UNPROVEN: Proof = { golden: 'unproven', matchedBytes: 0 };

export class Readiness {
  readonly #engine: Pick<Engine, 'manifests' | 'workers' | 'isWarm' | 'generate'>;
  readonly #flights = new Map<string, Promise<Proof>>();
  readonly #proofs = new Map<string, Proof>();

  constructor(engine: Pick<Engine, 'manifests' | 'workers' | 'isWarm' | 'generate'>) {
    this.#engine = engine;
  }

  /** What is known now; what is not is found out meanwhile. A proof waits for every request, and no probe waits so long. */
  known(tier: string): Proof {
    const proof = this.#proofs.get(tier);
    // A proof that fails is tried again at the next probe.
    if (proof === undefined) this.prove(tier).catch(() => undefined);
    return proof ?? UNPROVEN;
  }

  /** `unproven` while no worker has the tier warm. @throws what the engine throws; the next call tries again. */
  prove(tier: string): Promise<Proof> {
    const flight = this.#flights.get(tier) ?? this.#prove(tier).finally(() => this.#flights.delete(tier));
    this.#flights.set(tier, flight);
    return flight;
  }

  async #prove(tier: string): Promise<Proof> {
    const known = this.#proofs.get(tier);
    if (known !== undefined) return known;
    const manifest = this.#engine.manifests.find(({ id }) => id === tier);
    const worker = Array.from({ length: this.#engine.workers }, (_, index) => index).find((index) => this.#engine.isWarm({ tier, worker: index }));
    if (manifest === undefined || worker === undefined) return UNPROVEN;
    const decoded: number[] = [];
    const generation = this.#engine.generate({ tier, worker }, goldenOptions(manifest), new AbortController().signal);
    for await (const { bytes } of generation) decoded.push(...bytes);
    const proof = compare(decoded, textOf(manifest.golden.ids));
    this.#proofs.set(tier, proof);
    return proof;
  }
}

function goldenOptions({ golden }: Manifest): GenerateOptions {
  return {
    prompt: new TextEncoder().encode(golden.prompt),
    maxBytes: golden.ids.length,
    temperature: 0,
    topP: 1,
    topK: 0,
    seed: 0,
    stop: [],
    logitBias: new Map(),
    cacheSalt: 'readiness',
    deadlineAtMs: Infinity,
  };
}

function compare(decoded: readonly number[], text: readonly number[]): Proof {
  const other = text.findIndex((byte, index) => byte !== decoded[index]);
  if (other < 0) return { golden: decoded.length === text.length ? 'reproduced' : 'diverges', matchedBytes: text.length };
  return { golden: other >= FIRST_BYTES ? 'diverges' : 'differs', matchedBytes: other };
}

/** A special id ends a text and is no part of it. */
function textOf(ids: readonly number[]): readonly number[] {
  const end = ids.findIndex((id) => id >= FIRST_SPECIAL_ID);
  return end < 0 ? ids : ids.slice(0, end);
}
