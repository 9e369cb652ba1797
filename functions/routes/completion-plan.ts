import { fitGap } from '../engine/infill.js';
import { countPromptPatches, PATCH_CAP, SPECIAL } from '../engine/patch.js';
import { keptPatches } from '../engine/window.js';
import type { ByteAutomaton } from '../grammar/automaton.js';
import type { BudgetDefaults } from '../router/budget.js';
import { type CompletionRequest, isRawPrompt, scoresPrompt } from '../schema/completion.js';
import type { Manifest } from '../schema/manifest.js';
import { noInfillModel } from './api-error.js';
import { type Arrival, type Plan, type Prompt, routeRequest, samplingOf, targetOf } from './plan.js';
import type { Echo } from './text-of-pieces.js';

interface SizedPrompt extends Prompt {
  /** Read of it, at most the context. */
  readonly patches: number;
}

/** @throws as `targetOf` does, and {ApiError} 400 if there is a gap to fill and no tier that could run was trained to. */
export function planCompletion(body: CompletionRequest, arrival: Arrival, manifests: readonly Manifest[], budgetDefaults: BudgetDefaults, grammar?: ByteAutomaton): Plan {
  const { n, tries, logprobs } = choicesOf(body);
  const target = targetOf(body, arrival, manifests, budgetDefaults);
  const suffix = body.suffix ? new TextEncoder().encode(body.suffix) : undefined;
  const able = suffix === undefined ? target.manifests : target.manifests.filter(({ infill }) => infill === true);
  if (suffix !== undefined && able.length === 0) throw noInfillModel(body.model);

  const sampling = samplingOf(body, grammar, logprobs);
  const texts = textsOf(body.prompt);
  const promptOf = (text: Echo, manifest: Manifest): SizedPrompt => {
    const prompt = suffix === undefined ? plain(text, manifest) : gap(text, suffix, sampling.maxBytes, manifest);
    return { ...prompt, ...(body.echo === true && { echo: text }) };
  };
  const prompts = new Map(able.map((manifest) => [manifest.id, texts.map((text) => promptOf(text, manifest))]));
  const scores = scoresPrompt(body);
  const route = routeRequest(body, arrival, { ...target, manifests: able }, {
    // There may be no tier at all, which is the router's to say.
    promptBytes: Math.max(0, ...[...prompts.values()].flat().map(({ ids }) => ids.length)),
    promptPatches: Object.fromEntries(Array.from(prompts, ([tier, sized]) => [tier, Math.max(...sized.map(({ patches }) => patches))])),
    ...(scores && { scoredPatches: Math.max(...texts.map(({ bytes }) => countPromptPatches(bytes))) }),
    ...(suffix && { endsWithContext: true }),
    generations: texts.length * tries,
    lengthClass: grammar ? 'guided' : suffix ? 'infill' : sampling.stop.length > 0 ? 'stop' : 'plain',
  });
  return {
    route,
    budget: target.budget,
    // The marks of a gap must stay in sight.
    sampling: { ...sampling, ...(scores && { scoresPrompt: true }), ...(suffix && { endsWithContext: true }) },
    n,
    tries,
    tellsLogprobs: typeof body.logprobs === 'number',
    promptsFor: (tier) => prompts.get(tier)!,
  };
}

/** The best of several is found by log-probabilities, told or not. */
function choicesOf({ n, best_of: bestOf, logprobs }: CompletionRequest): { n: number; tries: number; logprobs: number | undefined } {
  const shown = n ?? 1;
  const tries = bestOf ?? shown;
  return { n: shown, tries, logprobs: logprobs ?? (tries > shown ? 0 : undefined) };
}

function plain({ bytes }: Echo, { context }: Manifest): SizedPrompt {
  // A longer one has surely more patches than the context, and may be a megabyte.
  const counted = bytes.subarray(0, (context.patches + 1) * PATCH_CAP);
  return { ids: bytes, patches: keptPatches(countPromptPatches(counted), context.patches), truncated: false };
}

function gap({ bytes }: Echo, suffix: Uint8Array, maxBytes: number, { context, bytesPerPatch }: Manifest): SizedPrompt {
  return fitGap(bytes, suffix, context.patches, maxBytes / bytesPerPatch);
}

/** Bytes, whatever the client sends: no special is among them but for the begin of a text, which stands before each anyway. */
function textsOf(prompt: CompletionRequest['prompt']): Echo[] {
  if (typeof prompt === 'string') return [encode(prompt)];
  if (isRawPrompt(prompt)) return [raw(prompt)];
  return prompt.map((one) => (typeof one === 'string' ? encode(one) : raw(one)));
}

function encode(text: string): Echo {
  return { bytes: new TextEncoder().encode(text), begins: false };
}

function raw(ids: readonly number[]): Echo {
  const begins = ids[0] === SPECIAL.bod;
  return { bytes: Uint8Array.from(begins ? ids.slice(1) : ids), begins };
}
