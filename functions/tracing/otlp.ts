/**
 * Spans for an OpenTelemetry collector, by OTLP over HTTP. It is imported only where one is configured: its packages take 28 MB and are optional.
 * Names follow OpenTelemetry's semantic conventions for HTTP servers and generative AI.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Attributes, createTraceState, diag, DiagLogLevel, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace, TraceFlags, type Tracer as OtelTracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { GenerateResult } from '../engine/types.js';
import { parseTraceparent } from './trace-context.js';
import type { Answered, Begun, Finished, RequestSpan, Tracer } from './tracer.js';

export interface OtlpOptions {
  /** The whole address, `/v1/traces` included. Headers, sampling and batches are as the other OTEL_ variables say. */
  readonly tracesUrl: string;
  readonly serviceName: string;
}

/** A server that stops has 30 s, and needs them for texts. */
const LONGEST_FLUSH_MS = 1_000;

const ignore = () => undefined;

/** @param onProblem hears of spans that could not be sent. */
export function otlpTracer({ tracesUrl, serviceName }: OtlpOptions, onProblem: (message: string) => void): Tracer {
  diag.setLogger({ error: onProblem, warn: onProblem, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.WARN);
  const provider = new BasicTracerProvider({
    // What the environment says of the service wins.
    resource: resourceFromAttributes({ 'service.name': serviceName }).merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: tracesUrl }))],
  });
  const tracer = provider.getTracer('stlm');
  return {
    begin: (request) => new OtlpSpan(tracer, request),
    close: async () => {
      const flushed = provider.shutdown().then(() => true, () => false);
      if (!(await Promise.race([flushed, sleep(LONGEST_FLUSH_MS, false, { ref: false })]))) onProblem('the last spans could not be sent');
    },
  };
}

class OtlpSpan implements RequestSpan {
  readonly #tracer: OtelTracer;
  readonly #span: Span;
  readonly #method: string;

  constructor(tracer: OtelTracer, { method, path, traceparent, tracestate, atMs }: Begun) {
    this.#tracer = tracer;
    this.#method = method;
    const attributes = { 'http.request.method': method, 'url.path': path, 'url.scheme': 'http' };
    this.#span = tracer.startSpan(method, { kind: SpanKind.SERVER, startTime: atMs, attributes }, callerContext(traceparent, tracestate));
  }

  get context() {
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    return { traceId, spanId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 };
  }

  answered(answer: Answered): void {
    this.#span.setAttributes(answerAttributes(answer));
    for (const [index, result] of answer.results.entries()) this.#stages(result, answer.askedAtMs, answer.results.length > 1 ? { 'stlm.text.index': index } : {});
  }

  finished({ route, status, atMs }: Finished): void {
    this.#span.updateName(`${this.#method} ${route}`);
    this.#span.setAttributes({ 'http.route': route, 'http.response.status_code': status });
    if (status >= 500) this.#span.setAttribute('error.type', String(status)).setStatus({ code: SpanStatusCode.ERROR });
    this.#span.end(atMs);
  }

  /** One after the other as their measured lengths have it; waits between a text's own runs are in the queue's, before them. */
  #stages({ timings, promptPatches, cachedPatches, decodedPatches, meanBatch }: GenerateResult, askedAtMs: number, which: Attributes): void {
    const stages: readonly [string, number, Attributes][] = [
      ['queue', timings.queueMs, {}],
      ['load', timings.loadMs, {}],
      ['prefill', timings.prefillMs, { 'stlm.prompt_patches': promptPatches, 'stlm.cached_patches': cachedPatches }],
      ['decode', timings.decodeMs, { 'stlm.decoded_patches': decodedPatches, 'stlm.mean_batch': meanBatch }],
    ];
    const parent = trace.setSpan(ROOT_CONTEXT, this.#span);
    let atMs = askedAtMs;
    for (const [name, ms, attributes] of stages) {
      const stage = this.#tracer.startSpan(name, { startTime: atMs, attributes: { ...which, ...attributes } }, parent);
      atMs += ms;
      stage.end(atMs);
    }
  }
}

function callerContext(traceparent: string | undefined, tracestate: string | undefined) {
  const caller = parseTraceparent(traceparent);
  if (caller === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId: caller.traceId,
    spanId: caller.spanId,
    traceFlags: caller.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(tracestate !== undefined && { traceState: createTraceState(tracestate) }),
  });
}

function answerAttributes({ id, operation, requestModel, choices, sampling, finishReasons, report, usage }: Answered): Attributes {
  return {
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': 'stlm',
    'gen_ai.request.model': requestModel,
    'gen_ai.request.choice.count': choices,
    'gen_ai.request.max_tokens': sampling.maxBytes,
    'gen_ai.request.temperature': sampling.temperature,
    'gen_ai.request.top_p': sampling.topP,
    'gen_ai.request.top_k': sampling.topK,
    ...(sampling.seed !== undefined && { 'gen_ai.request.seed': sampling.seed }),
    'gen_ai.response.id': id,
    'gen_ai.response.model': report.tier,
    'gen_ai.response.finish_reasons': [...finishReasons],
    'gen_ai.usage.input_tokens': usage.prompt_tokens,
    'gen_ai.usage.output_tokens': usage.completion_tokens,
    'stlm.budget_ms': report.budget_ms,
    'stlm.predicted_ms': report.predicted_ms,
    'stlm.actual_ms': report.actual_ms,
    'stlm.time_to_first_byte_ms': report.time_to_first_byte_ms,
    'stlm.route_reason': report.route_reason,
    'stlm.stop_cause': report.stop_cause,
  };
}
