/**
 * Runs a tier's graph for texts: one that reads a chunk of its prompt or decodes a patch, or several that each decode a patch in the
 * same run. Texts may join and leave between any two runs.
 *
 * @module
 */
import type { Generation } from './generate.js';
import { KvBatch } from './kv-batch.js';
import type { TrunkShape } from './kv-cache.js';
import type { Pace } from './pace.js';
import { RunInputs } from './run-inputs.js';
import type { Session } from './session.js';

export interface RunnerParts {
  readonly session: Session;
  readonly trunk: TrunkShape;
  readonly pace: Pace;
  readonly nowMs: () => number;
}

export class Runner {
  readonly #parts: RunnerParts;
  readonly #batch: KvBatch;
  /** By the number of texts in a run. */
  readonly #inputs = new Map<number, RunInputs>();

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#batch = new KvBatch(parts.session, parts.trunk);
  }

  /** At most one run; none if the texts have no time left for it. Several texts must all be `ready`. @throws what the runtime throws */
  async run(texts: readonly Generation[]): Promise<void> {
    const { session, pace, nowMs } = this.#parts;
    const startMs = nowMs();
    const running = texts.filter((text) => text.begin());
    if (running.length === 0) return;
    const seated = this.#seat(running);
    const [first] = seated as [Generation, ...Generation[]];
    const { patches, decodes } = first.reading;
    const inputs = this.#inputsFor(seated.length);
    const feeds = patches === 1 && decodes ? inputs.decode(seated.map(({ reading }) => reading)) : inputs.prefill(first.reading);
    const cache = seated.length === 1 ? first.cache.feeds : this.#batch.feeds(seated.length);
    const { newkv, toks } = await session.run({ ...feeds, ...cache }, decodes ? ['newkv', 'toks'] : ['newkv']);

    const ranMs = nowMs() - startMs;
    const aloneMs = pace.observe({ texts: seated.length, patches, decodes, ms: ranMs });
    const rows = newkv?.data as Float32Array;
    const width = rows.length / seated.length;
    for (const [index, text] of seated.entries()) {
      const turns = decodes ? column(toks?.data as Int32Array, index, seated.length) : undefined;
      text.end({ newkv: rows.subarray(index * width, (index + 1) * width), turns, texts: seated.length, ranMs, aloneMs });
    }
  }

  /** As `run`, but a run of several that fails is repeated for each of them. Returns those at fault, each with what was thrown. */
  async runApart(texts: readonly Generation[]): Promise<ReadonlyMap<Generation, unknown>> {
    try {
      await this.run(texts);
      return new Map();
    } catch (error) {
      const [only, ...others] = texts;
      if (only !== undefined && others.length === 0) return new Map([[only, error]]);
    }
    const failures = new Map<Generation, unknown>();
    for (const text of texts) for (const [failed, error] of await this.runApart([text])) failures.set(failed, error);
    return failures;
  }

  /** The text is over: what is kept of it for runs with others is let go. */
  forget(text: Generation): void {
    this.#batch.leave(text.cache);
  }

  /** Lets go of everything that was kept between runs. */
  clear(): void {
    this.#batch.clear();
    this.#inputs.clear();
  }

  #seat(texts: readonly Generation[]): readonly Generation[] {
    if (texts.length === 1) return texts;
    const byCache = new Map(texts.map((text) => [text.cache, text]));
    return this.#batch.seat([...byCache.keys()]).map((cache) => byCache.get(cache) as Generation);
  }

  #inputsFor(texts: number): RunInputs {
    const known = this.#inputs.get(texts);
    if (known !== undefined) return known;
    const inputs = new RunInputs(this.#parts.session, texts);
    this.#inputs.set(texts, inputs);
    return inputs;
  }
}

/** Of int32 [turns, texts]. */
function column(toks: Int32Array, text: number, texts: number): Int32Array {
  if (texts === 1) return toks;
  return Int32Array.from({ length: toks.length / texts }, (_, turn) => toks[turn * texts + text] as number);
}
