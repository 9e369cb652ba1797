/**
 * What the graph does to the logits before noise chooses among them: penalties for what has been seen, then filters of what is
 * improbable. Both are exact for every byte, as the graph counts what it decodes within a patch (`model-core/stlm/export_sampler.py`).
 *
 * @module
 */
import { VOCABULARY } from './patch.js';

export interface SamplerOptions {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP?: number;
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  readonly repetitionPenalty?: number;
}

/** Temperature, top-p, top-k, min-p, frequency, presence and repetition penalty. */
export const SAMPLER_WIDTH = 7;
/** A row that does nothing in a run in which others do something. */
export const IDLE_SAMPLER: readonly number[] = [1, 1, VOCABULARY, 0, 0, 0, 1];

/** No id is so improbable and still the likeliest. Much less would be 0 as a float32: a nucleus of nothing, and a text of NUL bytes. */
const LEAST_TOP_P = 1e-6;
/** Divided by less, logits leave the range in which the graph tells the refused from the rest. The noise keeps the real temperature. */
const LEAST_TEMPERATURE = 1e-4;

export function penalises({ frequencyPenalty = 0, presencePenalty = 0, repetitionPenalty = 1 }: SamplerOptions): boolean {
  return frequencyPenalty !== 0 || presencePenalty !== 0 || repetitionPenalty !== 1;
}

/** The graph's `sampler` input for one row. All zeros leave it out of the graph's way. */
export function samplerRow(options: SamplerOptions): Float32Array {
  const { temperature, topP, topK, minP = 0, frequencyPenalty = 0, presencePenalty = 0, repetitionPenalty = 1 } = options;
  // The likeliest is left by every filter.
  const filters = temperature > 0 && (topP < 1 || topK > 0 || minP > 0);
  if (!filters && !penalises(options)) return new Float32Array(SAMPLER_WIDTH);
  const penalties = [frequencyPenalty, presencePenalty, repetitionPenalty];
  if (!filters) return Float32Array.of(...IDLE_SAMPLER.slice(0, 4), ...penalties);
  return Float32Array.of(Math.max(LEAST_TEMPERATURE, temperature), Math.max(LEAST_TOP_P, topP), topK === 0 ? VOCABULARY : topK, minP, ...penalties);
}
