/**
 * Measures where nobody can collect them: an isolate is one of many, and gone when asked. Its log, which the platform gathers, has a line
 * for every answer anyway; what a text took is said there too.
 *
 * @module
 */
import type { StlmReport, Usage } from '../schema/answer.js';
import type { Metrics } from './metrics.js';

export class LoggedMetrics implements Metrics {
  readonly #info: (fields: object, message: string) => void;

  constructor(info: (fields: object, message: string) => void) {
    this.#info = info;
  }

  exchanged(): void {}

  answered(report: StlmReport, usage: Usage): void {
    this.#info({ ...report, ...usage }, 'text');
  }
}
