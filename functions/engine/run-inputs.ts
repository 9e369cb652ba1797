/**
 * The inputs of one run of the graph but for the KV caches: of one text that reads some patches, or of several that each read one.
 *
 * @module
 */
import { PATCH_CAP } from './patch.js';
import { SamplingInputs, type SamplingRow } from './sampling-inputs.js';
import type { Feeds, Session, Tensor } from './session.js';

/** All inputs of the graph but the KV cache's. */
export const INPUT_NAMES = ['ids', 'pos', 'seqk', 'tot', 'sel', 'noise', 'sampler', 'seen', 'steps'] as const;

/** What one text reads in its next run. */
export interface Reading {
  /** int32 [patches + 1, PATCH_CAP]: the patch before the new ones first. */
  readonly rows: Int32Array;
  /** Patches already in its cache. */
  readonly past: number;
  readonly patches: number;
  /** The run also decodes the patch after the last one read. */
  readonly decodes: boolean;
  /** How the patch is chosen that is decoded. */
  readonly sampling: SamplingRow;
  /** Of every id decoded the log-probability is wanted, and so many of the likeliest beside it; none if undefined. */
  readonly logprobs: number | undefined;
  /**
   * What is known to follow the last of the patches read, each of them: bytes to be scored. If the run decodes, those after the last one
   * are how the decoded patch begins, and forced by its sampling already. Empty: nothing is scored.
   */
  readonly targets: readonly Int32Array[];
}

/** For runs of so many texts. Tensors are made once and rewritten in place: making them costs more than filling them. */
export class RunInputs {
  readonly #session: Session;
  readonly #ids: Int32Array;
  readonly #pos: BigInt64Array;
  readonly #seqk: Int32Array;
  readonly #tot = new Int32Array(1);
  readonly #sel: Int32Array;
  readonly #sampling: SamplingInputs;
  readonly #steps = new BigInt64Array(1);
  readonly #onePatch: Readonly<Record<'ids' | 'pos', Tensor>>;
  readonly #lasting: Feeds;

  constructor(session: Session, texts: number) {
    this.#session = session;
    this.#ids = new Int32Array(texts * 2 * PATCH_CAP);
    this.#pos = new BigInt64Array(texts);
    this.#seqk = new Int32Array(texts);
    this.#sel = Int32Array.from({ length: texts }, (_, index) => index);
    this.#sampling = new SamplingInputs(session, texts);
    this.#onePatch = {
      ids: session.tensor('int32', this.#ids, [texts, 2, PATCH_CAP]),
      pos: session.tensor('int64', this.#pos, [texts, 1]),
    };
    this.#lasting = {
      seqk: session.tensor('int32', this.#seqk, [texts]),
      tot: session.tensor('int32', this.#tot, [1]),
      sel: session.tensor('int32', this.#sel, [texts]),
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
    return { ...this.#onePatch, ...this.#lasting, ...this.#sampling.of(readings.map(({ sampling }) => sampling)) };
  }

  /** For the first of them, which reads several patches. */
  prefill({ rows, past, patches, decodes, sampling }: Reading): Feeds {
    this.#seqk[0] = past + patches - 1;
    this.#tot[0] = past + patches;
    this.#sel[0] = patches - 1;
    this.#steps[0] = decodes ? BigInt(PATCH_CAP) : 0n;
    return { ...prefillIds(this.#session, rows, past, patches), ...this.#lasting, ...this.#sampling.of([sampling]) };
  }
}

/** Of one text, made anew for each run: hardly two are of the same size. */
export function prefillIds(session: Session, rows: Int32Array, past: number, patches: number): Readonly<Record<'ids' | 'pos', Tensor>> {
  return {
    ids: session.tensor('int32', rows.slice(), [1, patches + 1, PATCH_CAP]),
    pos: session.tensor('int64', BigInt64Array.from({ length: patches }, (_, index) => BigInt(past + index)), [1, patches]),
  };
}
