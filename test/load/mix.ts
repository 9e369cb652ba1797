/**
 * Mixed requests, the same for the same seed: prompts of 20 bytes to 2 kB, texts of 8 to 256 bytes, budgets of 30 ms to 3 s. Each is
 * spread evenly over its orders of magnitude, so that tight and wide requests are equally common.
 */
import { englishText } from './english.js';

export interface MixedRequest {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly budgetMs: number;
  readonly seed: number;
}

const PROMPT_BYTES = [20, 2_000] as const;
const TEXT_BYTES = [8, 256] as const;
const BUDGET_MS = [30, 3_000] as const;

export function mixedRequest(random: () => number): MixedRequest {
  return {
    prompt: englishText(Math.round(evenlyOverMagnitudes(PROMPT_BYTES, random))),
    maxTokens: Math.round(evenlyOverMagnitudes(TEXT_BYTES, random)),
    budgetMs: Math.round(evenlyOverMagnitudes(BUDGET_MS, random)),
    seed: Math.floor(random() * 2 ** 31),
  };
}

function evenlyOverMagnitudes([least, most]: readonly [number, number], random: () => number): number {
  return least * (most / least) ** random();
}
