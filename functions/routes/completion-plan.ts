import { countPromptPatches } from '../engine/patch.js';
import { keptPatches } from '../engine/window.js';
import type { ByteAutomaton } from '../grammar/automaton.js';
import type { BudgetDefaults } from '../router/budget.js';
import { type CompletionRequest, isRawPrompt } from '../schema/completion.js';
import type { Manifest } from '../schema/manifest.js';
import { type Arrival, type Plan, routeRequest, samplingOf, targetOf } from './plan.js';

/** @throws as `targetOf` does */
export function planCompletion(body: CompletionRequest, arrival: Arrival, manifests: readonly Manifest[], budgetDefaults: BudgetDefaults, grammar?: ByteAutomaton): Plan {
  const target = targetOf(body, arrival, manifests, budgetDefaults);
  const prompts = promptsOf(body.prompt).map((ids) => ({ ids, truncated: false }));
  const patches = prompts.map(({ ids }) => countPromptPatches(ids));
  const mostRead = ({ context }: Manifest) => Math.max(...patches.map((count) => keptPatches(count, context.patches)));
  const sampling = samplingOf(body, grammar);
  const route = routeRequest(body, arrival, target, {
    promptBytes: Math.max(...prompts.map(({ ids }) => ids.length)),
    promptPatches: Object.fromEntries(target.manifests.map((manifest) => [manifest.id, mostRead(manifest)])),
    prompts: prompts.length,
    lengthClass: grammar ? 'guided' : sampling.stop.length > 0 ? 'stop' : 'plain',
  });
  return { route, budget: target.budget, sampling, n: body.n ?? 1, promptsFor: () => prompts };
}

/** Bytes, whatever the client sends: no special is among them. */
function promptsOf(prompt: CompletionRequest['prompt']): Uint8Array[] {
  if (typeof prompt === 'string') return [encode(prompt)];
  if (isRawPrompt(prompt)) return [Uint8Array.from(prompt)];
  return prompt.map((one) => (typeof one === 'string' ? encode(one) : Uint8Array.from(one)));
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
