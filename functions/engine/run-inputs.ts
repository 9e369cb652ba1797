/**
 * The inputs of one run of the graph but for the KV caches: of one text that reads some patches, or of several that each read one.
 *
 * @module
 */
import { PATCH_CAP, VOCABULARY } from './patch.js';
import type { Feeds, Session, Tensor } from './session.js';

/** All inputs of the graph but the KV cache's. */
export const INPUT_NAMES = ['ids', 'pos', 'seqk', 'tot', 'sel', 'noise', 'nucleus', 'steps'] as const;

/** What one text reads in its next run. */
export interface Reading {
  /** int32 [patches + 1, PATCH_CAP]: the patch before the new ones first. */
  readonly rows: Int32Array;
  /** Patches already in its cache. */
  readonly past: number;
  readonly patches: number;
  /** The run also decodes the patch after the last one read. */
  readonly decodes: boolean;
  /** float32 [PATCH_CAP, VOCABULARY]; see `PatchNoise`. */
  readonly noise: Float32Array;
  /** Temperature, top-p and top-k; see `nucleusRow`. */
  readonly nucleus: Float32Array;
}

/** A row for a text without a filter in a run that has to filter others: it refuses nothing. No mass before an id exceeds 1. */
const NO_FILTER = [1, 2, VOCABULARY] as const;

/** For runs of so many texts. Tensors are made once and rewritten in place: making them costs more than filling them. */
export class RunInputs {
  readonly #session: Session;
  readonly #texts: number;
  readonly #ids: Int32Array;
  readonly #pos: BigInt64Array;
  readonly #seqk: Int32Array;
  readonly #tot = new Int32Array(1);
  readonly #sel: Int32Array;
  readonly #noise: Float32Array;
  readonly #nucleus: Float32Array;
  readonly #steps = new BigInt64Array(1);
  readonly #onePatch: Readonly<Record<'ids' | 'pos', Tensor>>;
  readonly #lasting: Feeds;

  constructor(session: Session, texts: number) {
    this.#session = session;
    this.#texts = texts;
    this.#ids = new Int32Array(texts * 2 * PATCH_CAP);
    this.#pos = new BigInt64Array(texts);
    this.#seqk = new Int32Array(texts);
    this.#sel = Int32Array.from({ length: texts }, (_, index) => index);
    this.#noise = new Float32Array(PATCH_CAP * texts * VOCABULARY);
    this.#nucleus = new Float32Array(texts * 3);
    this.#onePatch = {
      ids: session.tensor('int32', this.#ids, [texts, 2, PATCH_CAP]),
      pos: session.tensor('int64', this.#pos, [texts, 1]),
    };
    this.#lasting = {
      seqk: session.tensor('int32', this.#seqk, [texts]),
      tot: session.tensor('int32', this.#tot, [1]),
      sel: session.tensor('int32', this.#sel, [texts]),
      noise: session.tensor('float32', this.#noise, [PATCH_CAP, texts, VOCABULARY]),
      nucleus: session.tensor('float32', this.#nucleus, [texts, 3]),
      steps: session.tensor('int64', this.#steps, [1]),
    };
  }

  /** For texts that all read one patch and decode the next. */
  decode(readings: readonly Reading[]): Feeds {
    this.#tot[0] = 1 + Math.max(...readings.map(({ past }) => past));
    this.#steps[0] = BigInt(PATCH_CAP);
    for (const [text, { rows, past }] of readings.entries()) {
      this.#ids.set(rows, text * 2 * PATCH_CAP);
      this.#pos[text] = BigInt(past);
      this.#seqk[text] = past;
      this.#sel[text] = text;
    }
    this.#sample(readings);
    return { ...this.#onePatch, ...this.#lasting };
  }

  /** For the first of them, which reads several patches. */
  prefill(reading: Reading): Feeds {
    const { rows, past, patches, decodes } = reading;
    this.#seqk[0] = past + patches - 1;
    this.#tot[0] = past + patches;
    this.#sel[0] = patches - 1;
    this.#steps[0] = decodes ? BigInt(PATCH_CAP) : 0n;
    this.#sample([reading]);
    const pos = BigInt64Array.from({ length: patches }, (_, index) => BigInt(past + index));
    return {
      ids: this.#session.tensor('int32', rows.slice(), [1, patches + 1, PATCH_CAP]),
      pos: this.#session.tensor('int64', pos, [1, patches]),
      ...this.#lasting,
    };
  }

  #sample(readings: readonly Reading[]): void {
    const filters = readings.some(({ nucleus }) => nucleus[0] !== 0);
    for (const [text, { noise, nucleus }] of readings.entries()) {
      for (let turn = 0; turn < PATCH_CAP; turn += 1) {
        this.#noise.set(noise.subarray(turn * VOCABULARY, (turn + 1) * VOCABULARY), (turn * this.#texts + text) * VOCABULARY);
      }
      this.#nucleus.set(filters && nucleus[0] === 0 ? NO_FILTER : nucleus, text * 3);
    }
  }
}
