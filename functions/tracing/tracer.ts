/**
 * What a trace tells of a request: names, figures and times, never a prompt and no text.
 *
 * @module
 */
import type { GenerateResult } from '../engine/types.js';
import type { StlmReport, Usage } from '../schema/answer.js';
import { continued, parseTraceparent, type TraceContext } from './trace-context.js';

export interface Begun {
  readonly method: string;
  readonly path: string;
  /** The headers of that name. */
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  /** Epoch milliseconds, as all instants here. */
  readonly atMs: number;
}

/** An answer with text, once it has ended. */
export interface Answered {
  readonly id: string;
  readonly operation: 'chat' | 'text_completion';
  readonly requestModel: string;
  readonly choices: number;
  readonly sampling: { readonly maxBytes: number; readonly temperature: number; readonly topP: number; readonly topK: number; readonly seed: number | undefined };
  readonly finishReasons: readonly string[];
  readonly report: StlmReport;
  readonly usage: Usage;
  /** When the engine was asked for the texts. */
  readonly askedAtMs: number;
  /** By text. */
  readonly results: readonly GenerateResult[];
}

export interface Finished {
  /** The pattern, never the path. */
  readonly route: string;
  readonly status: number;
  readonly atMs: number;
}

/** One request. */
export interface RequestSpan {
  readonly context: TraceContext;
  answered(answer: Answered): void;
  /** Once, last. */
  finished(end: Finished): void;
}

export interface Tracer {
  begin(request: Begun): RequestSpan;
  /** Resolves once all that was recorded has been sent, or cannot be. */
  close(): Promise<void>;
}

/** Gives each request its place in a trace, for the log and the answer, and records nothing. */
export const unrecorded: Tracer = {
  begin: ({ traceparent }) => ({ context: continued(parseTraceparent(traceparent)), answered: () => undefined, finished: () => undefined }),
  close: async () => undefined,
};
