/**
 * What is counted, whoever counts it.
 *
 * @module
 */
import type { StlmReport, Usage } from '../schema/answer.js';

/** One HTTP answer, whatever it was. */
export interface Exchange {
  readonly method: string;
  /** The pattern, never the path: a client could send any number of those. */
  readonly route: string;
  readonly status: number;
  readonly ms: number;
}

export interface Metrics {
  exchanged(exchange: Exchange): void;
  /** One answer with text, once it has ended. */
  answered(report: StlmReport, usage: Usage): void;
  /** For whoever collects them; absent where nobody can. */
  render?(): Promise<{ readonly contentType: string; readonly body: string }>;
}
