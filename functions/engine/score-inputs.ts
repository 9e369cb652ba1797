/**
 * The inputs of a run that reads a chunk of one prompt and scores it: a row for each patch whose next is known, with the known bytes
 * forced upon it. The last row may go on and decode.
 *
 * @module
 */
import { PATCH_CAP, VOCABULARY } from './patch.js';
import { prefillIds, type Reading } from './run-inputs.js';
import { FORCE } from './sample.js';
import { SamplingInputs, type SamplingRow } from './sampling-inputs.js';
import { SAMPLER_WIDTH } from './sampler.js';
import type { Feeds, Session } from './session.js';

export class ScoreInputs {
  readonly #session: Session;
  readonly #rows: number;
  readonly #sampling: SamplingInputs;

  /** For runs that score after so many patches. */
  constructor(session: Session, rows: number) {
    this.#session = session;
    this.#rows = rows;
    this.#sampling = new SamplingInputs(session, rows);
  }

  feeds({ rows, past, patches, decodes, sampling, targets }: Reading): Feeds {
    const session = this.#session;
    const forced = targets.map(forcing);
    if (decodes) forced[forced.length - 1] = sampling;
    const steps = decodes ? PATCH_CAP : Math.max(...targets.map(({ length }) => length));
    const sel = Int32Array.from({ length: this.#rows }, (_, row) => patches - this.#rows + row);
    return {
      ...prefillIds(session, rows, past, patches),
      seqk: session.tensor('int32', Int32Array.of(past + patches - 1), [1]),
      tot: session.tensor('int32', Int32Array.of(past + patches), [1]),
      sel: session.tensor('int32', sel, [this.#rows]),
      steps: session.tensor('int64', BigInt64Array.of(BigInt(steps)), [1]),
      ...this.#sampling.of(forced),
    };
  }
}

const NO_SAMPLER = new Float32Array(SAMPLER_WIDTH);

function forcing(ids: Int32Array): SamplingRow {
  const noise = new Float32Array(PATCH_CAP * VOCABULARY);
  for (const [turn, id] of ids.entries()) noise[turn * VOCABULARY + id] = FORCE;
  return { noise, sampler: NO_SAMPLER, seen: undefined };
}
