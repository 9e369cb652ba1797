import { fitChat, replyPrompt, type Turn, turn } from '../engine/chat.js';
import type { ByteAutomaton } from '../grammar/automaton.js';
import type { BudgetDefaults } from '../router/budget.js';
import { type ChatMessage, type ChatRequest, isSystem, textOfMessage } from '../schema/chat.js';
import type { ChatTemplate, Manifest } from '../schema/manifest.js';
import { notAChatModel } from './api-error.js';
import { type Arrival, type Plan, routeRequest, samplingOf, targetOf } from './plan.js';

type ChatManifest = Manifest & { readonly chat: ChatTemplate };

/**
 * Room for a reply over what as many bytes of average text take: of 11,320 replies in the training data of over 200 bytes the densest
 * took 1.58 times as many patches. One that outgrows the context ends there: what it answers, and how, must stay in sight.
 */
const DENSE_REPLY = 1.6;

/**
 * Tiers may differ in their contexts and their marks, so the prompt is made for the one that is chosen, and the router, which
 * chooses, is told what each would read.
 *
 * @throws as `targetOf` does, and {ApiError} 400 if no tier that could run was tuned to chat.
 */
export function planChat(body: ChatRequest, arrival: Arrival, manifests: readonly Manifest[], budgetDefaults: BudgetDefaults, grammar?: ByteAutomaton): Plan {
  const target = targetOf(body, arrival, manifests, budgetDefaults);
  const tuned = target.manifests.filter((manifest): manifest is ChatManifest => manifest.chat !== undefined);
  if (tuned.length === 0) throw notAChatModel(body.model);
  const turns = turnsOf(body.messages);
  const sampling = { ...samplingOf(body, grammar, body.logprobs ? (body.top_logprobs ?? 0) : undefined), endsWithContext: true };
  const n = body.n ?? 1;
  const prompts = new Map(tuned.map((manifest) => [manifest.id, fitTo(manifest, turns, sampling.maxBytes)]));
  const fitted = [...prompts.values()];
  const route = routeRequest(body, arrival, { ...target, manifests: tuned }, {
    promptBytes: Math.max(...fitted.map(({ ids }) => ids.length)),
    promptPatches: Object.fromEntries(Array.from(prompts, ([tier, { patches }]) => [tier, patches])),
    endsWithContext: true,
    generations: n,
    lengthClass: grammar ? 'guided' : 'chat',
  });
  return { route, budget: target.budget, sampling, n, tries: n, tellsLogprobs: body.logprobs === true, promptsFor: (tier) => [prompts.get(tier)!] };
}

function fitTo({ chat, context, bytesPerPatch }: ChatManifest, turns: readonly Turn[], maxBytes: number) {
  const { turns: kept, patches, truncated } = fitChat(turns, context.patches, (DENSE_REPLY * maxBytes) / bytesPerPatch);
  return { ids: replyPrompt(kept, chat), patches, truncated };
}

/**
 * In the form of the chats of training (`model-core/stlm/dialogue.py`): without the blanks around a text and without blank turns,
 * and what one side said in a row is one turn. Every chat there had a user's: what is said by nobody else is asked by one.
 */
function turnsOf(messages: readonly ChatMessage[]): Turn[] {
  const isOnlySystem = messages.every(isSystem);
  const said: { role: Turn['role']; lines: string[] }[] = [];
  for (const message of messages) {
    const role = isOnlySystem ? 'user' : isSystem(message) ? 'system' : (message.role as Turn['role']);
    const text = textOfMessage(message).trim();
    if (text === '') continue;
    const last = said.at(-1);
    if (last?.role === role) last.lines.push(text);
    else said.push({ role, lines: [text] });
  }
  return said.map(({ role, lines }) => turn(role, lines.join('\n')));
}
