/**
 * The inputs of one run of the graph, for one text.
 *
 * @module
 */
import { PATCH_CAP, VOCABULARY } from './patch.js';
import type { Feeds, Session, Tensor } from './session.js';

/** All inputs of the graph but the KV cache's. */
export const INPUT_NAMES = ['ids', 'pos', 'seqk', 'tot', 'sel', 'noise', 'nucleus', 'steps'] as const;

/** Tensors of a decode run are made once and rewritten in place: making them costs more than filling them. */
export class RunInputs {
  readonly #session: Session;
  readonly #ids = new Int32Array(2 * PATCH_CAP);
  readonly #pos = new BigInt64Array(1);
  readonly #seqk = new Int32Array(1);
  readonly #tot = new Int32Array(1);
  readonly #sel = new Int32Array(1);
  readonly #steps = new BigInt64Array(1);
  readonly #decodeIds: Tensor;
  readonly #decodePos: Tensor;
  readonly #lasting: Feeds;

  constructor(session: Session, noise: Float32Array, nucleus: Float32Array) {
    this.#session = session;
    this.#decodeIds = session.tensor('int32', this.#ids, [1, 2, PATCH_CAP]);
    this.#decodePos = session.tensor('int64', this.#pos, [1, 1]);
    this.#lasting = {
      seqk: session.tensor('int32', this.#seqk, [1]),
      tot: session.tensor('int32', this.#tot, [1]),
      sel: session.tensor('int32', this.#sel, [1]),
      noise: session.tensor('float32', noise, [PATCH_CAP, 1, VOCABULARY]),
      nucleus: session.tensor('float32', nucleus, [1, 3]),
      steps: session.tensor('int64', this.#steps, [1]),
    };
  }

  /**
   * `rows`: int32 [patches + 1, PATCH_CAP], the patch before the new ones first. `past`: patches already in `cache`.
   * Decodes one patch after the last of them, or only reads them.
   */
  feeds(cache: Feeds, rows: Int32Array, past: number, patches: number, decodes: boolean): Feeds {
    this.#seqk[0] = past + patches - 1;
    this.#tot[0] = past + patches;
    this.#sel[0] = patches - 1;
    this.#steps[0] = decodes ? BigInt(PATCH_CAP) : 0n;
    if (patches === 1) {
      this.#ids.set(rows);
      this.#pos[0] = BigInt(past);
      return { ids: this.#decodeIds, pos: this.#decodePos, ...this.#lasting, ...cache };
    }
    const pos = BigInt64Array.from({ length: patches }, (_, index) => BigInt(past + index));
    return {
      ids: this.#session.tensor('int32', rows.slice(), [1, patches + 1, PATCH_CAP]),
      pos: this.#session.tensor('int64', pos, [1, patches]),
      ...this.#lasting,
      ...cache,
    };
  }
}
