/**
 * Runs a tier's graph for texts: one that reads a chunk of its prompt, scores it or decodes a patch, or several that each decode a patch
 * in the same run. Texts may join and leave between any two runs.
 *
 * @module
 */
import type { Generation } from './generate.js';
import { KvBatch } from './kv-batch.js';
import type { TrunkShape } from './kv-cache.js';
import { type LogprobOutput, outputFor, RowLogprobs } from './logprobs.js';
import type { Pace } from './pace.js';
import { type Reading, RunInputs } from './run-inputs.js';
import { ScoreInputs } from './score-inputs.js';
import type { Feeds, Session, Tensor } from './session.js';

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
  /** By the number of patches scored in one. */
  readonly #scoreInputs = new Map<number, ScoreInputs>();

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
    const readings = seated.map(({ reading }) => reading);
    const { patches, decodes, targets } = first.reading;
    const scored = targets.length;
    const cache = seated.length === 1 ? first.cache.feeds : this.#batch.feeds(seated.length);
    const results = await session.run({ ...this.#feeds(readings), ...cache }, outputsOf(readings));

    const ranMs = nowMs() - startMs;
    const { threads = 1 } = session;
    const aloneMs = pace.observe({ texts: seated.length, patches, scored, decodes, ms: ranMs });
    const newkv = results['newkv']?.data as Float32Array;
    const width = newkv.length / seated.length;
    // What is scored of a text comes before what it decodes.
    const rows = scored > 0 ? scored : seated.length;
    for (const [index, text] of seated.entries()) {
      const row = scored > 0 ? scored - 1 : index;
      text.end({
        newkv: newkv.subarray(index * width, (index + 1) * width),
        turns: decodes ? column(results['toks']?.data as Int32Array, row, rows) : undefined,
        logprobs: logprobsOf(results, text.reading, { from: scored > 0 ? 0 : row, to: row + 1, rows }),
        texts: seated.length,
        ranMs,
        threads,
        aloneMs,
      });
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
    this.#scoreInputs.clear();
  }

  #seat(texts: readonly Generation[]): readonly Generation[] {
    if (texts.length === 1) return texts;
    const byCache = new Map(texts.map((text) => [text.cache, text]));
    return this.#batch.seat([...byCache.keys()]).map((cache) => byCache.get(cache) as Generation);
  }

  #feeds(readings: readonly Reading[]): Feeds {
    const { session } = this.#parts;
    const [first] = readings as [Reading, ...Reading[]];
    const scored = first.targets.length;
    if (scored > 0) return kept(this.#scoreInputs, scored, () => new ScoreInputs(session, scored)).feeds(first);
    const inputs = kept(this.#inputs, readings.length, () => new RunInputs(session, readings.length));
    return first.patches === 1 && first.decodes ? inputs.decode(readings) : inputs.prefill(first);
  }
}

function kept<Inputs>(inputs: Map<number, Inputs>, rows: number, make: () => Inputs): Inputs {
  const known = inputs.get(rows) ?? make();
  inputs.set(rows, known);
  return known;
}

/** Log-probabilities only if a text asks for them: those of all ids are 13 kB a text. */
function outputsOf(readings: readonly Reading[]): readonly string[] {
  const [first] = readings as [Reading, ...Reading[]];
  const asked = new Set<LogprobOutput>();
  if (first.decodes || first.targets.length > 0) {
    for (const { logprobs } of readings) if (logprobs !== undefined) asked.add(outputFor(logprobs));
  }
  return ['newkv', ...(first.decodes ? ['toks'] : []), ...asked];
}

/** Of some of a run's rows, if the text has asked for them. */
function logprobsOf(results: Readonly<Record<string, Tensor>>, { logprobs }: Reading, { from, to, rows }: { from: number; to: number; rows: number }): readonly RowLogprobs[] {
  const output = logprobs === undefined ? undefined : outputFor(logprobs);
  const data = output && results[output]?.data;
  if (output === undefined || data === undefined) return [];
  return Array.from({ length: to - from }, (_, index) => new RowLogprobs(data as Float32Array, output, from + index, rows));
}

/** Of int32 [turns, rows]. */
function column(toks: Int32Array, row: number, rows: number): Int32Array {
  if (rows === 1) return toks;
  return Int32Array.from({ length: toks.length / rows }, (_, turn) => toks[turn * rows + row] as number);
}
