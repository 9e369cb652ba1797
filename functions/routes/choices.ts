/** Several generations as one stream of events, each decoded to text that never splits a character. */
import type { GenerateResult } from '../engine/types.js';

export type ChoiceEvent =
  | { readonly index: number; readonly text: string; readonly result?: never }
  /** The choice's last event; `text` is what had been held back of a character that never became whole. */
  | { readonly index: number; readonly text: string; readonly result: GenerateResult };

type Generation = AsyncGenerator<Uint8Array, GenerateResult, void>;

/**
 * Events in the order in which bytes come. Incomplete UTF-8 is held back until whole; at the end of a text it becomes U+FFFD.
 * Leaving early, by the consumer or by an error of one generation, calls `stop` to end the others' compute and waits for them.
 */
export async function* runChoices(generations: readonly Generation[], stop: () => void): AsyncGenerator<ChoiceEvent, void, void> {
  const running = new Map(
    // A byte-order mark inside a text is the model's own output and stays.
    generations.map((generation, index) => [index, { generation, decoder: new TextDecoder('utf-8', { ignoreBOM: true }), step: nextOf(generation, index) }]),
  );
  try {
    while (running.size > 0) {
      const { index, step } = await Promise.race(Array.from(running.values(), (choice) => choice.step));
      const choice = running.get(index)!;
      if (step.done) {
        running.delete(index);
        yield { index, text: choice.decoder.decode(), result: step.value };
        continue;
      }
      choice.step = nextOf(choice.generation, index);
      const text = choice.decoder.decode(step.value, { stream: true });
      if (text !== '') yield { index, text };
    }
  } finally {
    if (running.size > 0) stop();
    await Promise.allSettled(Array.from(running.values(), ({ generation }) => generation.return(undefined as never)));
  }
}

function nextOf(generation: Generation, index: number) {
  const step = generation.next().then((step) => ({ index, step }));
  // The race sees a rejection when it comes to it; until then, while the consumer is slow, it must not count as unhandled.
  step.catch(() => undefined);
  return step;
}
