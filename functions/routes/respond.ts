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
import { spend } from './access.js';
import { type Admitted, type AnswerShape, chunk, finishReason, promiseHeaders, report, timingHeaders, usage, usageChunk, whole } from './answer.js';
import { refused } from './api-error.js';
import { type ChoiceEvent, runChoices } from './choices.js';
import { type AppDeps, type AppEnv, logAnswer } from './context.js';
import type { Here } from './elsewhere.js';
import { asApiError } from './error-response.js';
import type { Plan } from './plan.js';
import { cacheSalt, knowingCache } from './prompt-cache.js';
import { sseBody, sseLine } from './sse.js';
import { type Ended, Tally } from './tally.js';
import { tooLate } from './too-late.js';

/** A request that was admitted and is being answered. */
interface Run {
  readonly shape: AnswerShape;
  readonly admitted: Admitted;
  readonly events: AsyncGenerator<ChoiceEvent, void, void>;
  readonly tally: Tally;
  readonly flight: Flight;
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
    prompts: plan.promptsFor(decision.placement.tier).flatMap((prompt) => Array.from({ length: plan.n }, () => prompt)),
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
  const generations = prompts.map(({ ids: prompt }, index) => {
    const { seed } = plan.sampling;
    const options = { ...plan.sampling, seed: seed === undefined ? seed : seed + (index % plan.n), prompt, cacheSalt, deadlineAtMs };
    return follow(deps.router, decision, deps.engine.generate(placement, options, flight.signal));
  });
  return {
    ...parts,
    events: runChoices(generations, flight.stop),
    tally: new Tally(generations.length, c.var.arrivalMs, deps.nowMs),
  };
}

/** Undefined while a choice is still running. @throws {ApiError} when all have ended, too late for any text. */
function allEnded({ admitted: { decision, plan }, tally }: Run, deps: AppDeps): Ended | undefined {
  const ended = tally.ended();
  const refusal = ended && tooLate(ended.results, decision, plan.route, deps);
  if (refusal) throw refusal;
  return ended;
}

function count({ admitted }: Run, ended: Ended, { metrics }: AppDeps): void {
  metrics.answered(report(admitted, ended), usage(admitted, ended.results));
}

async function atOnce(c: Context<AppEnv>, deps: AppDeps, run: Run): Promise<Response> {
  const { shape, admitted, events, tally, flight } = run;
  const texts = admitted.prompts.map(() => '');
  try {
    for await (const event of events) {
      tally.note(event);
      texts[event.index] += event.text;
    }
  } finally {
    flight.land();
  }
  const ended = allEnded(run, deps)!;
  count(run, ended, deps);
  for (const [name, value] of Object.entries(timingHeaders(ended))) c.header(name, value);
  return c.json(whole(shape, admitted, texts, ended));
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
  try {
    for await (const event of events) {
      const { index, text, result } = event;
      tally.note(event);
      const ended = allEnded(run, deps);
      if (ended) count(run, ended, deps);
      if (shape.chunkOpening && !begun.has(index)) yield sseLine(chunk(shape, admitted, shape.chunkOpening(index), withUsage));
      begun.add(index);
      const choice = shape.chunkChoice(index, text, result ? finishReason(result.stopCause) : null);
      yield sseLine(chunk(shape, admitted, choice, withUsage, ended));
    }
    if (withUsage) yield sseLine(usageChunk(shape, admitted, tally.ended()!));
  } finally {
    flight.land();
  }
}
