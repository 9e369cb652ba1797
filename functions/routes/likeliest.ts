import type { GenerateResult } from '../engine/types.js';
import type { Plan } from './plan.js';

/** Which texts are the answer: of those after one prompt the `n` with the highest mean log-probability, best first; all in order if all are. */
export function likeliest(results: readonly Pick<GenerateResult, 'meanLogprob'>[], { n, tries }: Pick<Plan, 'n' | 'tries'>): number[] {
  const all = Array.from(results, (_, index) => index);
  if (n === tries) return all;
  const prompts = Array.from({ length: results.length / tries }, (_, prompt) => all.slice(prompt * tries, (prompt + 1) * tries));
  const meanOf = (index: number) => results[index]?.meanLogprob ?? -Infinity;
  return prompts.flatMap((texts) => texts.toSorted((a, b) => meanOf(b) - meanOf(a)).slice(0, n));
}
