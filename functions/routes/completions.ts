/**
 * `POST /v1/completions`: as one JSON body, or as a stream of server-sent events.
 *
 * @module
 */
import { createRoute } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { Flight } from '../drain.js';
import { follow } from '../router/follow.js';
import { completionChunkSchema, completionRequestSchema, completionSchema } from '../schema/completion.js';
import { draining, fromIssues, refused } from './api-error.js';
import { readJson } from './body.js';
import { type ChoiceEvent, runChoices } from './choices.js';
import { type Admitted, chunk, completion, promiseHeaders, report, timingHeaders, usageChunk } from './completion-answer.js';
import { type App, type AppDeps, type AppEnv, arrivalOf, logAnswer } from './context.js';
import { errorResponses } from './documented-errors.js';
import { asApiError } from './error-response.js';
import { planCompletion } from './plan.js';
import { sseBody, sseLine } from './sse.js';
import { type Ended, Tally } from './tally.js';
import { tooLate } from './too-late.js';

const route = createRoute({
  method: 'post',
  path: '/v1/completions',
  summary: 'Continue a text with the largest tier that fits the latency budget',
  request: { body: { required: true, content: { 'application/json': { schema: completionRequestSchema } } } },
  responses: {
    200: {
      description: 'The continuation; with `stream: true` as server-sent events, closed by `data: [DONE]`.',
      content: { 'application/json': { schema: completionSchema }, 'text/event-stream': { schema: completionChunkSchema } },
    },
    ...errorResponses(400, 404, 413, 422, 429, 500, 503),
  },
});

/** A request that was admitted and is being answered. */
interface Run {
  readonly admitted: Admitted;
  readonly events: AsyncGenerator<ChoiceEvent, void, void>;
  readonly tally: Tally;
  readonly flight: Flight;
}

export function registerCompletions(app: App, deps: AppDeps): void {
  app.openAPIRegistry.registerPath(route);
  app.post(route.path, async function completions(c) {
    if (deps.drain.draining) throw draining();
    const body = completionRequestSchema.safeParse(await readJson(c.req.raw));
    if (!body.success) throw fromIssues(body.error);
    const plan = planCompletion(body.data, arrivalOf(c), deps.engine.manifests, deps.budgetDefaults);
    const decision = deps.router.route(plan.route);
    if (decision.kind !== 'admitted') throw refused(decision);

    const id = `cmpl-${deps.newId()}`;
    const run = start(deps, { id, createdAtS: Math.floor(deps.nowMs() / 1_000), plan, decision }, c);
    return body.data.stream ? streamed(c, deps, run, body.data.stream_options?.include_usage === true) : whole(c, deps, run);
  });
}

function start(deps: AppDeps, admitted: Admitted, c: Context<AppEnv>): Run {
  const { plan, decision } = admitted;
  const { deadlineAtMs, placement } = decision;
  c.set('decision', decision);
  for (const [name, value] of Object.entries(promiseHeaders(admitted))) c.header(name, value);
  const flight = deps.drain.takeOff(c.req.raw.signal);
  const generations = plan.generations.map((options) =>
    follow(deps.router, decision, deps.engine.generate(placement, { ...options, deadlineAtMs }, flight.signal)),
  );
  return {
    admitted,
    events: runChoices(generations, flight.stop),
    tally: new Tally(generations.length, c.var.arrivalMs, deps.nowMs),
    flight,
  };
}

/** Undefined while a choice is still running. @throws {ApiError} when all have ended, too late for any text. */
function allEnded({ admitted: { decision, plan }, tally }: Run, deps: AppDeps): Ended | undefined {
  const ended = tally.ended();
  const refusal = ended && tooLate(ended.results, decision, plan.route, deps);
  if (refusal) throw refusal;
  return ended;
}

async function whole(c: Context<AppEnv>, deps: AppDeps, run: Run): Promise<Response> {
  const { admitted, events, tally, flight } = run;
  const texts = admitted.plan.generations.map(() => '');
  try {
    for await (const event of events) {
      tally.note(event);
      texts[event.index] += event.text;
    }
  } finally {
    flight.land();
  }
  const ended = allEnded(run, deps)!;
  for (const [name, value] of Object.entries(timingHeaders(ended))) c.header(name, value);
  return c.json(completion(admitted, texts, ended));
}

/** Answers once the first text is there: until then a failure is still a status code. */
async function streamed(c: Context<AppEnv>, deps: AppDeps, run: Run, withUsage: boolean): Promise<Response> {
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
  const { admitted, events, tally, flight } = run;
  try {
    for await (const event of events) {
      tally.note(event);
      const ended = allEnded(run, deps);
      const { index, text } = event;
      yield sseLine(chunk(admitted, { index, text, stopCause: event.result?.stopCause, report: ended && report(admitted, ended), withUsage }));
    }
    if (withUsage) yield sseLine(usageChunk(admitted, tally.ended()!.results));
  } finally {
    flight.land();
  }
}
