/** From a validated body to what the router and the engine are asked. */
import { countPromptPatches } from '../engine/patch.js';
import type { GenerateOptions } from '../engine/types.js';
import { type Budget, type BudgetDefaults, parseBudget } from '../router/budget.js';
import { AUTO, type RouteRequest } from '../router/types.js';
import { type CompletionRequest, DEFAULT_MAX_BYTES } from '../schema/completion.js';
import type { Manifest } from '../schema/manifest.js';
import { unknownModel } from './api-error.js';

/** The name clients route by; the router calls it `AUTO`. */
export const AUTO_MODEL = 'stlm-auto';

export interface CompletionPlan {
  readonly route: RouteRequest;
  readonly budget: Budget;
  /** One entry a choice; the deadline comes with the router's decision. */
  readonly generations: readonly Omit<GenerateOptions, 'deadlineAtMs'>[];
}

export interface Arrival {
  readonly id: string;
  readonly arrivalMs: number;
  readonly header: (name: string) => string | undefined;
}

/**
 * @throws {BudgetError} for a budget that means nothing.
 * @throws {ApiError} 404 for a model no manifest describes.
 */
export function planCompletion(
  body: CompletionRequest,
  arrival: Arrival,
  manifests: readonly Manifest[],
  budgetDefaults: BudgetDefaults,
): CompletionPlan {
  const budget = parseBudget({ body, header: arrival.header }, budgetDefaults);
  if (budget.model !== AUTO_MODEL && !manifests.some(({ id }) => id === budget.model)) throw unknownModel(budget.model);
  const prompts = promptsOf(body.prompt);
  const firstByteBudgetMs = body.ttft_budget_ms ?? undefined;
  const sampling = samplingOf(body);
  return {
    budget,
    generations: prompts.map((prompt) => ({ ...sampling, prompt })),
    route: {
      id: arrival.id,
      tier: budget.model === AUTO_MODEL ? AUTO : budget.model,
      arrivalMs: arrival.arrivalMs,
      budgetMs: budget.budgetMs,
      ...(firstByteBudgetMs !== undefined && { firstByteBudgetMs }),
      promptBytes: Math.max(...prompts.map(({ length }) => length)),
      promptPatches: Math.max(...prompts.map(patchesOf)),
      maxBytes: sampling.maxBytes,
      hasStop: sampling.stop.length > 0,
      generations: prompts.length,
    },
  };
}

function promptsOf(prompt: CompletionRequest['prompt']): Uint8Array[] {
  if (typeof prompt === 'string') return [encode(prompt)];
  if (isBytes(prompt)) return [Uint8Array.from(prompt)];
  return prompt.map((one) => (typeof one === 'string' ? encode(one) : Uint8Array.from(one)));
}

/** An empty array is a prompt of no bytes, not no prompt. */
function isBytes(prompt: string[] | number[] | number[][]): prompt is number[] {
  return prompt.length === 0 || typeof prompt[0] === 'number';
}

function samplingOf(body: CompletionRequest): Omit<GenerateOptions, 'prompt' | 'deadlineAtMs'> {
  const stops = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
  return {
    maxBytes: body.max_tokens ?? body.max_completion_tokens ?? DEFAULT_MAX_BYTES,
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: body.top_k ?? 0,
    seed: body.seed ?? undefined,
    stop: stops.map(encode),
    logitBias: new Map(Object.entries(body.logit_bias ?? {}).map(([key, bias]) => [Number(key), bias])),
  };
}

/** Its complete patches, and the one in which the text will begin. */
function patchesOf(prompt: Uint8Array): number {
  return countPromptPatches(prompt) + 1;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
