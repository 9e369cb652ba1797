/** A stream of requests against a router over the virtual engine, and what became of each. */
import { createRouter } from '../../../functions/router/router.js';
import { follow } from '../../../functions/router/follow.js';
import { AUTO, type Decision, type Refusal, type RouteRequest } from '../../../functions/router/types.js';
import type { GenerateResult, Piece } from '../../../functions/engine/types.js';
import type { LogRecord } from '../../../functions/schema/decision-log.js';
import { seededRandom } from '../../load/seeded.js';
import { VirtualEngine, type VirtualMachine, type VirtualTier } from './virtual-engine.js';

export const TIERS: readonly VirtualTier[] = [
  { id: 'stlm-10m', loadMs: 60, prefillPatchMs: 0.2, decodePatchMs: 0.8, bytesPerPatch: 5.4, trunk: { layers: 3, width: 384 } },
  { id: 'stlm-50m', loadMs: 150, prefillPatchMs: 1, decodePatchMs: 3.5, bytesPerPatch: 5.4, trunk: { layers: 12, width: 576 } },
  { id: 'stlm-100m', loadMs: 250, prefillPatchMs: 2, decodePatchMs: 6, bytesPerPatch: 5.4, trunk: { layers: 14, width: 768 } },
];

export function virtualServer(machine: Partial<VirtualMachine> = {}, policy = 'budget-first') {
  const engine = new VirtualEngine({
    workers: 2,
    tiers: TIERS,
    seedFactor: 1,
    slowdownAt: () => 1,
    sharing: 1.2,
    random: seededRandom(1),
    ...machine,
  });
  const records: LogRecord[] = [];
  const log = { info: () => {}, warn: () => {} };
  const router = createRouter({ engine, nowMs: engine.nowMs, log, policy, record: (record) => void records.push(record) });
  return { engine, router, records };
}

export type VirtualServer = ReturnType<typeof virtualServer>;

export interface Served {
  readonly request: RouteRequest;
  readonly answer: Decision | Refusal;
  readonly result?: GenerateResult;
  /** From arrival to the last byte. */
  readonly actualMs?: number;
}

export function routeRequest(fields: Partial<RouteRequest> & { budgetMs: number; arrivalMs: number }): RouteRequest {
  const promptBytes = fields.promptBytes ?? 40;
  return {
    id: 'request',
    tier: AUTO,
    promptBytes,
    promptPatches: Object.fromEntries(TIERS.map(({ id, bytesPerPatch }) => [id, 1 + Math.ceil(promptBytes / bytesPerPatch)])),
    maxBytes: 64,
    lengthClass: 'plain',
    generations: 1,
    sharesRuns: false,
    ...fields,
  };
}

/** Routes a request and, if admitted, runs it to its end. */
export async function serve({ engine, router }: VirtualServer, request: RouteRequest, { aborted = false } = {}): Promise<Served> {
  const answer = router.route(request);
  if (answer.kind !== 'admitted') return { request, answer };
  const signal = aborted ? AbortSignal.abort() : new AbortController().signal;
  const options = {
    prompt: new Uint8Array(request.promptBytes),
    maxBytes: request.maxBytes,
    temperature: 0,
    topP: 1,
    topK: 0,
    seed: request.sharesRuns ? undefined : 0,
    stop: [],
    logitBias: new Map<number, number>(),
    cacheSalt: '',
    deadlineAtMs: answer.deadlineAtMs,
  };
  const generations = Array.from({ length: request.generations }, () => drained(follow(router, answer, engine.generate(answer.placement, options, signal))));
  const results = await Promise.all(generations);
  return { request, answer, result: results[0]!, actualMs: engine.nowMs() - request.arrivalMs };
}

async function drained(generation: AsyncGenerator<Piece, GenerateResult, void>): Promise<GenerateResult> {
  for (;;) {
    const step = await generation.next();
    if (step.done) return step.value;
  }
}

export async function warmAll({ engine, router }: VirtualServer): Promise<void> {
  for (const { id } of engine.manifests) {
    for (let worker = 0; worker < engine.workers; worker += 1) void router.warm({ tier: id, worker });
    await engine.runUntil(Infinity);
  }
}

/** Open-loop Poisson arrivals of mixed requests for `durationMs`; resolves when all are answered. */
export async function poisson(server: VirtualServer, perSecond: number, durationMs: number, random: () => number): Promise<Served[]> {
  const pending: Promise<Served>[] = [];
  const untilMs = server.engine.nowMs() + durationMs;
  const arrive = (atMs: number): void => {
    if (atMs >= untilMs) return;
    const request = routeRequest({
      id: String(pending.length),
      arrivalMs: atMs,
      promptBytes: Math.round(20 * 100 ** random()),
      maxBytes: Math.round(8 * 32 ** random()),
      budgetMs: 30 * 100 ** random(),
    });
    server.engine.at(atMs, () => {
      pending.push(serve(server, request));
      arrive(atMs + (-Math.log(1 - random()) / perSecond) * 1_000);
    });
  };
  arrive(server.engine.nowMs());
  await server.engine.runUntil(Infinity);
  return Promise.all(pending);
}
