/**
 * Budgets by the product's own names for what it does with text.
 *
 * @module
 */
import type { CallOptions, CompleteOptions, Piece, Stlm } from './client.js';
import type { Completion } from '../schema/completion.js';

/** One use of text: completed at once, or piece by piece. */
export interface Use {
  (options: Omit<CompleteOptions, 'budgetMs'>, call?: CallOptions): Promise<Completion>;
  stream(options: Omit<CompleteOptions, 'budgetMs'>, call?: CallOptions): AsyncGenerator<Piece, void, void>;
}

/**
 * @param budgetsMs what each use may take.
 * @example
 * const text = tiered(stlm, { typeahead: 80, compose: 600, summarise: 4_000 });
 * await text.typeahead({ prompt: 'Dear Mr ' });
 * for await (const { text: piece } of text.compose.stream({ prompt: 'Dear Mr Brown,' })) write(piece);
 */
export function tiered<Name extends string>(stlm: Pick<Stlm, 'complete' | 'stream'>, budgetsMs: Readonly<Record<Name, number>>): Record<Name, Use> {
  const uses = Object.entries<number>(budgetsMs).map(([name, budgetMs]) => {
    const use: Use = Object.assign(
      (options: Parameters<Use>[0], call?: CallOptions) => stlm.complete({ ...options, budgetMs }, call),
      { stream: (options: Parameters<Use>[0], call?: CallOptions) => stlm.stream({ ...options, budgetMs }, call) },
    );
    return [name, use] as const;
  });
  return Object.fromEntries(uses) as Record<Name, Use>;
}
