/** What both endpoints for text answer: the report of what was promised and kept, and around it the text in the shape of each. */
import type { EnergyMeter } from '../energy/energy.js';
import type { GenerateResult, StopCause } from '../engine/types.js';
import type { Decision } from '../router/types.js';
import type { FinishReason, StlmReport, Usage } from '../schema/answer.js';
import type { Plan, Prompt } from './plan.js';
import type { Ended } from './tally.js';
import type { Token } from './tokens.js';

/** What is known of an answer before its first byte. */
export interface Admitted {
  readonly id: string;
  readonly createdAtS: number;
  readonly plan: Plan;
  /** By text. */
  readonly prompts: readonly Prompt[];
  readonly decision: Decision;
}

/** One text, or a piece of one; `tokens` are undefined where nobody asked how probable they were. */
export interface Told {
  readonly text: string;
  readonly tokens: readonly Token[] | undefined;
}

/** All that is said at its end. */
export interface Closing extends Ended {
  readonly report: StlmReport;
  readonly usage: Usage;
}

export function close(admitted: Admitted, ended: Ended, energy: EnergyMeter): Closing {
  return { ...ended, report: report(admitted, ended, energy), usage: usage(admitted, ended.results) };
}

/** How an endpoint of the OpenAI API dresses the same answer. */
export interface AnswerShape {
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  choice(index: number, told: Told, finishReason: FinishReason): object;
  /** What a stream says of a choice before its first text. */
  chunkOpening?(index: number): object;
  chunkChoice(index: number, told: Told, finishReason: FinishReason | null): object;
}

/** From the text's own end to the hardest cut. */
const BY_SEVERITY: readonly StopCause[] = ['eod', 'stop', 'length', 'context', 'deadline', 'cancelled'];

/** @param shown of the texts, those that are the answer, in its order. */
export function whole(shape: AnswerShape, admitted: Admitted, texts: readonly Told[], shown: readonly number[], { results, report, usage }: Closing): object {
  return {
    ...shared(admitted, shape.object),
    choices: shown.map((text, index) => shape.choice(index, texts[text]!, finishReason(results[text]!.stopCause))),
    usage,
    stlm: report,
  };
}

/** With `stream_options.include_usage` every chunk has the field, and only the last one a value. */
export function chunk(shape: AnswerShape, admitted: Admitted, choice: object, withUsage: boolean, closing?: Closing): object {
  return {
    ...shared(admitted, shape.chunkObject),
    choices: [choice],
    ...(withUsage && { usage: null }),
    ...(closing && { stlm: closing.report }),
  };
}

export function usageChunk(shape: AnswerShape, admitted: Admitted, { usage }: Closing): object {
  return { ...shared(admitted, shape.chunkObject), choices: [], usage };
}

/** Known before the first byte, so a stream has them too. Headers are rounded from what the report says, not from what it was rounded from. */
export function promiseHeaders({ decision }: Admitted): Record<string, string> {
  return {
    'x-stlm-model': decision.placement.tier,
    'x-stlm-predicted-ms': rounded(decision.predictedMs).toFixed(1),
    'x-stlm-route-reason': decision.reason,
  };
}

export function timingHeaders({ results, actualMs }: Ended): Record<string, string> {
  const { queueMs, loadMs, prefillMs, decodeMs } = stageTimes(results);
  const stages = Object.entries({ queue: queueMs, load: loadMs, prefill: prefillMs, decode: decodeMs, total: actualMs });
  return {
    'server-timing': stages.map(([name, ms]) => `${name};dur=${rounded(ms).toFixed(1)}`).join(', '),
    'openai-processing-ms': String(Math.round(rounded(actualMs))),
  };
}

interface StageTimes {
  readonly queueMs: number;
  readonly loadMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** Choices share a worker: they wait at the same time, read one after the other and write in runs that they share with each other and with others' texts. */
function stageTimes(results: readonly GenerateResult[]): StageTimes {
  const of = (stage: keyof StageTimes) => results.map(({ timings }) => timings[stage]);
  return {
    queueMs: Math.max(...of('queueMs')),
    loadMs: Math.max(...of('loadMs')),
    prefillMs: sum(of('prefillMs')),
    decodeMs: results.length === 1 ? of('decodeMs')[0]! : sum(results.map(({ meanBatch, timings }) => timings.decodeMs / meanBatch)),
  };
}

function report({ plan, prompts, decision }: Admitted, { results, firstByteMs, actualMs }: Ended, energy: EnergyMeter): StlmReport {
  const stages = stageTimes(results);
  const computeMs = stages.prefillMs + stages.decodeMs;
  const completionBytes = sum(results.map((result) => result.completionBytes));
  const { joules, source, wattsPerCore } = energy.of(results);
  const causes = new Set(results.map(({ stopCause }) => stopCause));
  return {
    tier: decision.placement.tier,
    route_reason: decision.reason,
    load_state: decision.tiers.some(({ tier, warm }) => tier === decision.placement.tier && warm) ? 'warm' : 'cold',
    stop_cause: BY_SEVERITY.findLast((cause) => causes.has(cause))!,
    budget_ms: plan.budget.budgetMs,
    budget_source: plan.budget.source,
    expected_ms: rounded(decision.expectedMs),
    predicted_ms: rounded(decision.predictedMs),
    actual_ms: rounded(actualMs),
    time_to_first_byte_ms: rounded(firstByteMs),
    bytes_per_second: computeMs > 0 ? Math.round((completionBytes / computeMs) * 1_000) : 0,
    queue_ms: rounded(stages.queueMs),
    load_ms: rounded(stages.loadMs),
    prefill_ms: rounded(stages.prefillMs),
    decode_ms: rounded(stages.decodeMs),
    prompt_patches: sum(results.map(({ promptPatches }) => promptPatches)),
    decoded_patches: sum(results.map(({ decodedPatches }) => decodedPatches)),
    context_truncated: prompts.some(({ truncated }) => truncated) || results.some(({ contextTruncated }) => contextTruncated),
    energy_joules: Number(joules.toPrecision(3)),
    energy_source: source,
    energy_watts_per_core: Number(wattsPerCore.toPrecision(3)),
  };
}

function shared({ id, createdAtS, decision }: Admitted, object: string) {
  return { id, object, created: createdAtS, model: decision.placement.tier };
}

export function finishReason(cause: StopCause): FinishReason {
  return cause === 'eod' || cause === 'stop' ? 'stop' : 'length';
}

/** A prompt counts once, however many texts are written after it. */
function usage({ plan, prompts }: Admitted, results: readonly GenerateResult[]): Usage {
  const isFirst = (_: unknown, index: number) => index % plan.tries === 0;
  const promptIds = sum(prompts.filter(isFirst).map(({ ids, echo }) => ids.length + (echo?.begins ? 1 : 0)));
  const completionBytes = sum(results.map((result) => result.completionBytes));
  return {
    prompt_tokens: promptIds,
    completion_tokens: completionBytes,
    total_tokens: promptIds + completionBytes,
    prompt_tokens_details: { cached_tokens: sum(results.filter(isFirst).map(({ cachedBytes }) => cachedBytes)) },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** A tenth of a millisecond is finer than any of these is reproducible. */
function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
