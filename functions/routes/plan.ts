/** From a validated body to what the router and the engine are asked: what completions and chats have in common. */
import type { PromptIds } from '../engine/patch.js';
import type { GenerateOptions } from '../engine/types.js';
import { type Budget, type BudgetDefaults, limitBudget, parseBudget } from '../router/budget.js';
import { AUTO, type RouteRequest } from '../router/types.js';
import type { ByteAutomaton } from '../grammar/automaton.js';
import type { Manifest } from '../schema/manifest.js';
import { maxBytesOf, type TextRequest } from '../schema/request.js';
import { unknownModel } from './api-error.js';
import type { Echo } from './text-of-pieces.js';

/** The name clients route by; the router calls it `AUTO`. */
export const AUTO_MODEL = 'stlm-auto';

export interface Arrival {
  readonly id: string;
  readonly arrivalMs: number;
  /** As `AppEnv` has it. */
  readonly limitMs?: number | undefined;
  readonly header: (name: string) => string | undefined;
}

/** What a choice continues. */
export interface Prompt {
  readonly ids: PromptIds;
  /** Not all that the client sent is in it. */
  readonly truncated: boolean;
  /** What the text begins with, if it is to begin with the prompt. */
  readonly echo?: Echo;
}

export interface Plan {
  readonly route: RouteRequest;
  readonly budget: Budget;
  readonly sampling: Sampling;
  /** Choices for each prompt. */
  readonly n: number;
  /** Texts that are written for each, of which the likeliest are its choices. */
  readonly tries: number;
  /** The answer says how probable its bytes were. */
  readonly tellsLogprobs: boolean;
  /** As the tier that was chosen reads them. */
  readonly promptsFor: (tier: string) => readonly Prompt[];
}

export type Sampling = Omit<GenerateOptions, 'prompt' | 'cacheSalt' | 'deadlineAtMs'>;

/** Where a request may run, and how long. */
export interface Target {
  readonly budget: Budget;
  /** As the router names it. */
  readonly tier: string;
  /** One, or all for `AUTO`. */
  readonly manifests: readonly Manifest[];
}

/**
 * @throws {BudgetError} for a budget that means nothing.
 * @throws {ApiError} 404 for a model no manifest describes.
 */
export function targetOf(body: TextRequest, arrival: Arrival, manifests: readonly Manifest[], defaults: BudgetDefaults): Target {
  const budget = limitBudget(parseBudget({ body, header: arrival.header }, defaults), arrival.limitMs);
  if (budget.model === AUTO_MODEL) return { budget, tier: AUTO, manifests };
  const pinned = manifests.find(({ id }) => id === budget.model);
  if (pinned === undefined) throw unknownModel(budget.model);
  return { budget, tier: pinned.id, manifests: [pinned] };
}

type Workload = Pick<RouteRequest, 'promptBytes' | 'promptPatches' | 'scoredPatches' | 'endsWithContext' | 'lengthClass' | 'generations'>;

export function routeRequest(body: TextRequest, arrival: Arrival, { budget, tier, manifests }: Target, workload: Workload): RouteRequest {
  const firstByteBudgetMs = body.ttft_budget_ms ?? undefined;
  const maxWords = body.max_words ?? undefined;
  return {
    id: arrival.id,
    tier,
    eligible: manifests.map(({ id }) => id),
    arrivalMs: arrival.arrivalMs,
    budgetMs: budget.budgetMs,
    ...(firstByteBudgetMs !== undefined && { firstByteBudgetMs }),
    maxBytes: maxBytesOf(body),
    ...(maxWords !== undefined && { maxWords }),
    sharesRuns: typeof body.seed !== 'number',
    ...workload,
  };
}

/**
 * @param grammar what `grammarOf` made of the form that is wanted.
 * @param logprobs how many of the likeliest bytes are told beside each; undefined: nothing is told.
 */
export function samplingOf(body: TextRequest, grammar: ByteAutomaton | undefined, logprobs: number | undefined): Sampling {
  const stops = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
  const maxWords = body.max_words ?? undefined;
  return {
    maxBytes: maxBytesOf(body),
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: body.top_k ?? 0,
    minP: body.min_p ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    presencePenalty: body.presence_penalty ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    seed: body.seed ?? undefined,
    stop: stops.map((text) => new TextEncoder().encode(text)),
    logitBias: new Map(Object.entries(body.logit_bias ?? {}).map(([key, bias]) => [Number(key), bias])),
    ...(grammar && { grammar }),
    ...(maxWords !== undefined && { maxWords }),
    ...(logprobs !== undefined && { logprobs }),
  };
}
