/**
 * Whether this server answers with the models its manifests describe: a tier is proven once its golden prompt, decoded greedily,
 * has given the golden bytes. Proofs are made when asked for, once per tier, so that no load waits for one.
 *
 * @module
 */
import type { Engine, Placement } from './engine/types.js';
import type { Manifest } from './schema/manifest.js';

export type Golden = 'reproduced' | 'differs' | 'unproven';

type Prover = Pick<Engine, 'manifests' | 'workers' | 'isWarm' | 'generate'>;

const FIRST_SPECIAL_ID = 256;

export class Readiness {
  readonly #engine: Prover;
  readonly #proofs = new Map<string, Promise<Golden>>();

  constructor(engine: Prover) {
    this.#engine = engine;
  }

  /** `unproven` while no worker has the tier warm. @throws what the engine throws; the next call tries again. */
  async golden(tier: string): Promise<Golden> {
    const known = this.#proofs.get(tier);
    if (known) return known;
    const manifest = this.#engine.manifests.find(({ id }) => id === tier);
    const worker = Array.from({ length: this.#engine.workers }, (_, index) => index).find((index) => this.#engine.isWarm({ tier, worker: index }));
    if (manifest === undefined || worker === undefined) return 'unproven';
    const proof = this.#prove(manifest, { tier, worker });
    this.#proofs.set(tier, proof);
    proof.catch(() => this.#proofs.delete(tier));
    return proof;
  }

  async #prove({ golden }: Manifest, placement: Placement): Promise<Golden> {
    const options = {
      prompt: new TextEncoder().encode(golden.prompt),
      maxBytes: golden.ids.length,
      temperature: 0,
      topP: 1,
      topK: 0,
      seed: 0,
      stop: [],
      logitBias: new Map<number, number>(),
      deadlineAtMs: Infinity,
    };
    const decoded: number[] = [];
    for await (const bytes of this.#engine.generate(placement, options, new AbortController().signal)) decoded.push(...bytes);
    return sameBytes(decoded, textOf(golden.ids)) ? 'reproduced' : 'differs';
  }
}

/** A special id ends a text and is no part of it. */
function textOf(ids: readonly number[]): readonly number[] {
  const end = ids.findIndex((id) => id >= FIRST_SPECIAL_ID);
  return end < 0 ? ids : ids.slice(0, end);
}

function sameBytes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
