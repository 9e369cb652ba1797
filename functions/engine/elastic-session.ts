/**
 * A graph opened twice, for one thread and for several. A run takes the cores of workers that have nothing to do, if that makes it
 * faster: a patch of 50M or 100M takes two thirds of its time then, and longer if somebody outside this process wants the cores. Both
 * ways compute the same to the bit.
 *
 * @module
 */
import type { ModelSession } from './onnx-runtime.js';
import { RecentMs } from './recent-ms.js';
import type { Feeds, Tensor } from './session.js';

/** Of so many patches one is decoded the way that was slower of late, to notice when it no longer is. */
const LOOK_EVERY = 32;
/** It has to pay for the core it takes from the threads that route and send. */
const GAIN = 0.9;

interface Way {
  readonly session: ModelSession;
  /** What a patch of one text takes. */
  readonly patchMs: RecentMs;
}

export class ElasticSession implements ModelSession {
  readonly #narrow: Way;
  readonly #isAlone: () => boolean;
  readonly #nowMs: () => number;
  #wide: Way | undefined;
  #last: ModelSession;
  #patches = 0;

  /** @param isAlone whether all other workers are idle. */
  constructor(narrow: ModelSession, isAlone: () => boolean, nowMs: () => number) {
    this.#narrow = { session: narrow, patchMs: new RecentMs(0) };
    this.#last = narrow;
    this.#isAlone = isAlone;
    this.#nowMs = nowMs;
  }

  get inputNames(): readonly string[] {
    return this.#narrow.session.inputNames;
  }

  get threads(): number {
    return this.#last.threads ?? 1;
  }

  /** From now on there is a choice. */
  widen(wide: ModelSession): void {
    this.#wide = { session: wide, patchMs: new RecentMs(0) };
  }

  /** A binding's tensors fit all of its sessions. */
  tensor(type: 'int32', data: Int32Array, dims: readonly number[]): Tensor;
  tensor(type: 'int64', data: BigInt64Array, dims: readonly number[]): Tensor;
  tensor(type: 'float32', data: Float32Array, dims: readonly number[]): Tensor;
  tensor(...args: [never, never, readonly number[]]): Tensor {
    return this.#narrow.session.tensor(...args);
  }

  async run(feeds: Feeds, outputs: readonly string[]): Promise<Readonly<Record<string, Tensor>>> {
    if (this.#wide === undefined || !this.#isAlone()) return this.#run(this.#narrow, feeds, outputs);
    const [faster, other] = this.#ways(this.#wide);
    if (!decodesOnePatch(feeds, outputs)) return this.#run(faster, feeds, outputs);
    this.#patches += 1;
    const way = this.#patches % LOOK_EVERY === 0 ? other : faster;
    const startMs = this.#nowMs();
    const results = await this.#run(way, feeds, outputs);
    way.patchMs.observe(this.#nowMs() - startMs);
    return results;
  }

  async release(): Promise<void> {
    await Promise.all([this.#narrow.session.release(), this.#wide?.session.release()]);
  }

  #run({ session }: Way, feeds: Feeds, outputs: readonly string[]): Promise<Readonly<Record<string, Tensor>>> {
    this.#last = session;
    return session.run(feeds, outputs);
  }

  /** What has not been tried counts as fast. */
  #ways(wide: Way): readonly [Way, Way] {
    return wide.patchMs.median <= GAIN * this.#narrow.patchMs.median ? [wide, this.#narrow] : [this.#narrow, wide];
  }
}

/** The patch before the new ones stands in `ids` too. */
function decodesOnePatch({ ids }: Feeds, outputs: readonly string[]): boolean {
  return ids?.dims[0] === 1 && ids.dims[1] === 2 && outputs.includes('toks');
}
