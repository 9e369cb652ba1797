/** What the router is told of a prompt is what the engine then reads of it. */
import { expect, test } from 'vitest';
import { Pace } from '../../../functions/engine/pace.js';
import { PATCH_CAP, type PromptIds } from '../../../functions/engine/patch.js';
import { patchesToScore } from '../../../functions/engine/prompt-score.js';
import type { GenerateOptions } from '../../../functions/engine/types.js';
import { BUDGET_DEFAULTS } from '../../../functions/router/budget.js';
import { planChat } from '../../../functions/routes/chat-plan.js';
import { planCompletion } from '../../../functions/routes/completion-plan.js';
import type { Plan } from '../../../functions/routes/plan.js';
import type { Manifest } from '../../../functions/schema/manifest.js';
import { greedy } from '../engine-models.js';
import { RecurrentSession } from '../engine-recurrent-session.js';
import { Solo } from '../engine-solo.js';
import { says, ScriptedEngine } from '../http/scripted-engine.js';

const CONTEXTS: Readonly<Record<string, number>> = { 'stlm-short': 64, 'stlm-long': 150 };
const tiers = Object.keys(CONTEXTS);
const engine = new ScriptedEngine(says([]), tiers.map((id) => ({ id, state: 'ready' })), tiers);
const inContext = (manifest: Manifest): Manifest => ({ ...manifest, context: { patches: CONTEXTS[manifest.id]! } });
const manifests = engine.manifests.map(inContext);
const infilling = manifests.map((manifest) => ({ ...manifest, infill: true }));
const arrival = { id: 'request', arrivalMs: 0, header: () => undefined };

async function readPatches(prompt: PromptIds, contextPatches: number, options: Partial<GenerateOptions> = {}): Promise<number> {
  const session = new RecurrentSession();
  const pace = new Pace({ prefillPatchMs: 0, decodePatchMs: 0 });
  const shape = { ...RecurrentSession.shape, contextPatches };
  const generation = new Solo({ session, shape, pace, nowMs: () => 0 }, greedy('', { prompt, maxBytes: 1, ...options }));
  while (generation.outcome === undefined) await generation.step();
  return session.runs.reduce((read, { patches }) => read + patches, 0);
}

/** What each tier reads of a plan's prompt, by tier. */
async function readOf({ promptsFor }: Plan): Promise<Record<string, number>> {
  const read = tiers.map(async (tier) => [tier, await readPatches(promptsFor(tier)[0]!.ids, CONTEXTS[tier]!)] as const);
  return Object.fromEntries(await Promise.all(read));
}

const WORDS = [0, 1, 40, 62, 63, 64, 65, 100, 148, 149, 150, 151, 400];

test.each(WORDS)('of a completion after %d words, on tiers of every context', async (words) => {
  const plan = planCompletion({ model: 'stlm-auto', prompt: 'ab '.repeat(words) + 'unfinished' }, arrival, manifests, BUDGET_DEFAULTS);
  expect(plan.route.promptPatches).toEqual(await readOf(plan));
});

test.each([63, 64, 65, 66, 148, 149, 150, 151, 300])('of a completion after a word of %d longest patches and a byte, on tiers of every context', async (patches) => {
  const plan = planCompletion({ model: 'stlm-auto', prompt: 'a'.repeat(patches * PATCH_CAP + 1) }, arrival, manifests, BUDGET_DEFAULTS);
  expect(plan.route.promptPatches).toEqual(await readOf(plan));
});

test.each(WORDS)('of a chat of %d words, on tiers of every context', async (words) => {
  const plan = planChat({ model: 'stlm-auto', messages: [{ role: 'user', content: `${'ab '.repeat(words)}end` }] }, arrival, manifests, BUDGET_DEFAULTS);
  expect(plan.route.promptPatches).toEqual(await readOf(plan));
});

test.each(WORDS)('of a gap after %d words and before as many, on tiers of every context', async (words) => {
  const body = { model: 'stlm-auto', prompt: 'ab '.repeat(words) + 'be', suffix: 'fore '.repeat(words), max_tokens: 20 };
  const plan = planCompletion(body, arrival, infilling, BUDGET_DEFAULTS);
  expect(plan.route.promptPatches).toEqual(await readOf(plan));
});

test.each(WORDS)('of a prompt of %d words that is scored, on tiers of every context', async (words) => {
  const prompt = `${'ab '.repeat(words)}unfinished`;
  const { route, promptsFor } = planCompletion({ model: 'stlm-auto', prompt, echo: true, logprobs: 1, max_tokens: 1 }, arrival, manifests, BUDGET_DEFAULTS);
  for (const tier of tiers) {
    const read = await readPatches(promptsFor(tier)[0]!.ids, CONTEXTS[tier]!, { scoresPrompt: true, logprobs: 1 });
    expect(patchesToScore(route.scoredPatches!, CONTEXTS[tier]!)).toBe(read);
  }
});
