/**
 * What texts cost in energy: an estimate, that says what it was made from. A run keeps its threads busy from its beginning to its end, so
 * runs in milliseconds times threads are core-milliseconds; a run that several texts share is shared out evenly.
 *
 * @module
 */
import { z } from 'zod';
import type { GenerateResult } from '../engine/types.js';

/** An assumption, and told as one. */
export const USUAL_WATTS_PER_CORE = 5;
export const wattsPerCore = z.coerce.number().positive().max(1_000);

/** What a busy core takes. */
export interface Power {
  readonly wattsPerCore: number;
  /** `rapl`: measured by the processor. `cpu_time`: the setting of the deployment. */
  readonly source: 'rapl' | 'cpu_time';
}

export interface Energy extends Power {
  readonly joules: number;
}

export class EnergyMeter {
  readonly #power: () => Power;
  readonly #threads: number;

  /** @param threads of a run. */
  constructor(power: () => Power, threads: number) {
    this.#power = power;
    this.#threads = threads;
  }

  of(results: readonly Pick<GenerateResult, 'timings' | 'meanBatch'>[]): Energy {
    const power = this.#power();
    const runMs = results.reduce((sum, { timings, meanBatch }) => sum + timings.prefillMs + timings.decodeMs / meanBatch, 0);
    return { ...power, joules: (power.wattsPerCore * this.#threads * runMs) / 1_000 };
  }
}
