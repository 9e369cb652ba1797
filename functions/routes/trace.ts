/** Requests as parts of a trace: `traceparent` in, `traceresponse` out (https://w3c.github.io/trace-context/), and what a span says of an answer. */
import { AUTO } from '../router/types.js';
import { formatTraceparent } from '../tracing/trace-context.js';
import { type RequestSpan, type Tracer, unrecorded } from '../tracing/tracer.js';
import { type Admitted, type AnswerShape, type Closing, finishReason } from './answer.js';
import type { App } from './context.js';
import { likeliest } from './likeliest.js';
import { AUTO_MODEL } from './plan.js';

export function traceRequests(app: App, tracer: Tracer = unrecorded): void {
  app.use('/v1/*', async function trace(c, next) {
    const [traceparent, tracestate] = [c.req.header('traceparent'), c.req.header('tracestate')];
    const span = tracer.begin({ method: c.req.method, path: c.req.path, traceparent, tracestate, atMs: c.var.arrivalMs });
    c.set('span', span);
    c.header('traceresponse', formatTraceparent(span.context));
    await next();
  });
}

export function traceAnswer(span: RequestSpan | undefined, shape: AnswerShape, { id, plan }: Admitted, { results, report, usage }: Closing, askedAtMs: number): void {
  span?.answered({
    id,
    operation: shape.object === 'text_completion' ? 'text_completion' : 'chat',
    requestModel: plan.route.tier === AUTO ? AUTO_MODEL : plan.route.tier,
    choices: plan.n,
    sampling: plan.sampling,
    finishReasons: likeliest(results, plan).map((index) => finishReason(results[index]!.stopCause)),
    report,
    usage,
    askedAtMs,
    results,
  });
}
