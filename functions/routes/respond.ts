/**
 * Answers a planned request for text: routed, admitted, run, and sent as one JSON body or as a stream of server-sent events. What it
 * looks like is the endpoint's `AnswerShape`.
 *
 * @module
 */
import type { Context } from 'hono';
import type { Flight } from '../drain.js';
import { follow } from '../router/follow.js';
import type { RouteReason } from '../router/types.js';
import type { TextRequest } from '../schema/request.js';
import type { RequestSpan } from '../tracing/tracer.js';
import { spend } from './access.js';
import { type Admitted, type AnswerShape, chunk, close, type Closing, finishReason, promiseHeaders, timingHeaders, type Told, usageChunk, whole } from './answer.js';
import { refused } from './api-error.js';
import { type ChoiceEvent, runChoices } from './choices.js';
import { type AppDeps, type AppEnv, logAnswer } from './context.js';
import type { Here } from './elsewhere.js';
import { asApiError } from './error-response.js';
import { likeliest } from './likeliest.js';
import type { Plan } from './plan.js';
import { cacheSalt, knowingCache } from './prompt-cache.js';
import { sseBody, sseLine } from './sse.js';
import { Tally } from './tally.js';
import type { Token } from './tokens.js';
import { tooLate } from './too-late.js';
import { traceAnswer } from './trace.js';

/** A request that was admitted and is being answered. */
interface Run {
  readonly shape: AnswerShape;
  readonly admitted: Admitted;
  readonly events: AsyncGenerator<ChoiceEvent, void, void>;
  readonly tally: Tally;
  readonly flight: Flight;
  readonly askedAtMs: number;
  readonly span: RequestSpan | undefined;
}

type Form = Pick<TextRequest, 'stream' | 'stream_options'>;

/** @throws {ApiError} what the router refuses. */
export async function respond(c: Context<AppEnv>, deps: AppDeps, plan: Plan, shape: AnswerShape, body: TextRequest, flight: Flight): Promise<Response> {
  const { promptBytes, maxBytes, generations } = plan.route;
  await spend(c, deps.access, 'tokens', (promptBytes + maxBytes) * generations);
  const here: Here = (reason) => respondHere(c, deps, plan, shape, body, flight, reason);
  if (deps.elsewhere === undefined) return here();
  const response = await deps.elsewhere.answer({ id: c.var.requestId, path: c.req.path, header: (name) => c.req.header(name), body, plan, flight }, here);
  c.set('ofElsewhere', c.var.decision === undefined);
  return response;
}

async function respondHere(c: Context<AppEnv>, deps: AppDeps, plan: Plan, shape: AnswerShape, form: Form, flight: Flight, reason?: RouteReason): Promise<Response> {
  const salt = await cacheSalt(c.var.client, c.req.header('authorization'));
  const routed = deps.router.route(knowingCache(deps.engine, plan, salt));
  if (routed.kind !== 'admitted') throw refused(routed, plan.route);
  const decision = reason === undefined ? routed : { ...routed, reason };
  const admitted = {
    id: `${shape.idPrefix}-${deps.newId()}`,
    createdAtS: Math.floor(deps.nowMs() / 1_000),
    plan,
    prompts: plan.promptsFor(decision.placement.tier).flatMap((prompt) => Array.from({ length: plan.tries }, () => prompt)),
    decision,
  };
  const run = start(c, deps, { admitted, shape, flight }, salt);
  return form.stream ? inPieces(c, deps, run, form.stream_options?.include_usage === true) : atOnce(c, deps, run);
}

function start(c: Context<AppEnv>, deps: AppDeps, parts: Pick<Run, 'admitted' | 'shape' | 'flight'>, cacheSalt: string): Run {
  const { flight } = parts;
  const { plan, prompts, decision } = parts.admitted;
  const { deadlineAtMs, placement } = decision;
  c.set('decision', decision);
  for (const [name, value] of Object.entries(promiseHeaders(parts.admitted))) c.header(name, value);
  const askedAtMs = deps.nowMs();
  const choices = prompts.map(({ ids: prompt, echo }, index) => {
    const { seed, scoresPrompt = false } = plan.sampling;
    const options = { ...plan.sampling, seed: seed === undefined ? seed : seed + (index % plan.tries), prompt, cacheSalt, deadlineAtMs };
    return { generation: follow(deps.router, decision, deps.engine.generate(placement, options, flight.signal)), echo, tells: plan.tellsLogprobs, tellsEcho: scoresPrompt };
  });
  return {
    ...parts,
    events: runChoices(choices, flight.stop),
    tally: new Tally(choices.length, c.var.arrivalMs, deps.nowMs),
    askedAtMs,
    span: c.var.span,
  };
}

/** Counts the answer when its last choice has ended; undefined until then. @throws {ApiError} if that was too late for any text. */
function closingOf({ admitted, tally, shape, span, askedAtMs }: Run, deps: AppDeps): Closing | undefined {
  const { decision, plan } = admitted;
  const ended = tally.ended();
  if (ended === undefined) return undefined;
  const refusal = tooLate(ended.results, decision, plan.route, deps);
  if (refusal) throw refusal;
  const closing = close(admitted, ended, deps.energy);
  deps.metrics.answered(closing.report, closing.usage);
  traceAnswer(span, shape, admitted, closing, askedAtMs);
  return closing;
}

async function atOnce(c: Context<AppEnv>, deps: AppDeps, run: Run): Promise<Response> {
  const { shape, admitted, events, tally, flight } = run;
  const texts = admitted.prompts.map(() => ({ text: '', tokens: [] as Token[] }));
  try {
    for await (const event of events) {
      tally.note(event);
      const text = texts[event.index]!;
      text.text += event.text;
      for (const token of event.tokens) text.tokens.push(token);
    }
  } finally {
    flight.land();
  }
  const closing = closingOf(run, deps)!;
  for (const [name, value] of Object.entries(timingHeaders(closing))) c.header(name, value);
  const { plan } = admitted;
  const told = texts.map(({ text, tokens }): Told => ({ text, tokens: plan.tellsLogprobs ? tokens : undefined }));
  return c.json(whole(shape, admitted, told, likeliest(closing.results, plan), closing));
}

/** Answers once the first text is there: until then a failure is still a status code. */
async function inPieces(c: Context<AppEnv>, deps: AppDeps, run: Run, withUsage: boolean): Promise<Response> {
  const lines = streamLines(run, deps, withUsage);
  const first = await lines.next();
  const onError = (error: unknown) => {
    deps.logger.error({ requestId: c.var.requestId, error }, 'stream failed');
    return asApiError(error).body();
  };
  c.header('content-type', 'text/event-stream');
  c.header('cache-control', 'no-cache');
  // Proxies that buffer would turn a stream into one late answer.
  c.header('x-accel-buffering', 'no');
  return c.body(sseBody(first, lines, { onError, onCancel: run.flight.stop, onEnd: () => logAnswer(c, deps) }));
}

async function* streamLines(run: Run, deps: AppDeps, withUsage: boolean): AsyncGenerator<string, void, void> {
  const { shape, admitted, events, tally, flight } = run;
  const begun = new Set<number>();
  let closing: Closing | undefined;
  try {
    for await (const event of events) {
      const { index, text, tokens, result } = event;
      tally.note(event);
      closing = closingOf(run, deps);
      if (shape.chunkOpening && !begun.has(index)) yield sseLine(chunk(shape, admitted, shape.chunkOpening(index), withUsage));
      begun.add(index);
      const choice = shape.chunkChoice(index, { text, tokens: admitted.plan.tellsLogprobs ? tokens : undefined }, result ? finishReason(result.stopCause) : null);
      yield sseLine(chunk(shape, admitted, choice, withUsage, closing));
    }
    if (withUsage) yield sseLine(usageChunk(shape, admitted, closing!));
  } finally {
    flight.land();
  }
}
