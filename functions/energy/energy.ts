/**
 * What texts cost in energy: an estimate, that says what it was made from. A run keeps its threads busy from its beginning to its end, so
 * runs in milliseconds times threads are core-milliseconds (`timings.coreMs`).
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

  constructor(power: () => Power) {
    this.#power = power;
  }

  of(results: readonly Pick<GenerateResult, 'timings'>[]): Energy {
    const power = this.#power();
    const coreMs = results.reduce((sum, { timings }) => sum + timings.coreMs, 0);
    return { ...power, joules: (power.wattsPerCore * coreMs) / 1_000 };
  }
}
