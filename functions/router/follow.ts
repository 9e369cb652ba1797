import type { GenerateResult, Piece } from '../engine/types.js';
import type { Decision, Outcome, Router } from './types.js';

/**
 * Passes a generation through and reports to the router what it does, so that a booking is always given back: on its result, on
 * an error, and when the consumer stops reading.
 *
 * @example
 * for await (const { bytes } of follow(router, decision, engine.generate(decision.placement, options, signal))) write(bytes);
 */
export async function* follow(
  router: Pick<Router, 'progress' | 'observe'>,
  decision: Decision,
  generation: AsyncGenerator<Piece, GenerateResult, void>,
): AsyncGenerator<Piece, GenerateResult, void> {
  let outcome: Outcome = { kind: 'failed' };
  try {
    for (;;) {
      const step = await generation.next();
      if (step.done) {
        outcome = { kind: 'finished', result: step.value };
        return step.value;
      }
      if (step.value.ofPrompt === undefined) router.progress(decision, step.value.bytes.length);
      yield step.value;
    }
  } finally {
    if (outcome.kind === 'failed') await generation.return(undefined as never);
    router.observe(decision, outcome);
  }
}
