/** Several generations as one stream of events, each decoded to text that never splits a character. */
import type { GenerateResult, Piece } from '../engine/types.js';
import { type Echo, TextOfPieces, ToldTextOfPieces } from './text-of-pieces.js';
import type { Token } from './tokens.js';

export interface ChoiceEvent {
  readonly index: number;
  readonly text: string;
  /** Those that `text` shows, if they are told. */
  readonly tokens: readonly Token[];
  /** It is the prompt that the text begins with. */
  readonly isEcho: boolean;
  /** The choice's last event has it; its `text` is what had been held back of a character that never became whole. */
  readonly result?: GenerateResult;
}

export interface Choice {
  readonly generation: AsyncGenerator<Piece, GenerateResult, void>;
  /** Stands before the text. */
  readonly echo: Echo | undefined;
  /** The answer says how probable its bytes were. */
  readonly tells: boolean;
  /** The generation itself tells the prompt, as it scores it. */
  readonly tellsEcho: boolean;
}

/**
 * Events in the order in which bytes come. Incomplete UTF-8 is held back until whole; at the end of a text it becomes U+FFFD.
 * Leaving early, by the consumer or by an error of one generation, calls `stop` to end the others' compute and waits for them.
 */
export async function* runChoices(choices: readonly Choice[], stop: () => void): AsyncGenerator<ChoiceEvent, void, void> {
  const running = new Map(
    choices.map(({ generation, echo, tells, tellsEcho }, index) => {
      const text = tells ? new ToldTextOfPieces(tellsEcho && echo?.begins === true) : new TextOfPieces();
      return [index, { generation, text, echo: tellsEcho ? undefined : echo, step: nextOf(generation, index) }];
    }),
  );
  try {
    while (running.size > 0) {
      const { index, step } = await Promise.race(Array.from(running.values(), (choice) => choice.step));
      const choice = running.get(index)!;
      // The prompt comes with the first of the text, not before: until then a failure is a status code.
      const echo = choice.echo && choice.text.push(choice.echo);
      choice.echo = undefined;
      if (step.done) {
        running.delete(index);
        const { text, tokens } = choice.text.end();
        yield { index, text: (echo?.text ?? '') + text, tokens, isEcho: echo !== undefined, result: step.value };
        continue;
      }
      if (echo !== undefined) yield* shown(index, echo, true);
      choice.step = nextOf(choice.generation, index);
      yield* shown(index, choice.text.push(step.value), step.value.ofPrompt === true);
    }
  } finally {
    if (running.size > 0) stop();
    await Promise.allSettled(Array.from(running.values(), ({ generation }) => generation.return(undefined as never)));
  }
}

function* shown(index: number, piece: { readonly text: string; readonly tokens: readonly Token[] }, isEcho: boolean): Generator<ChoiceEvent, void, void> {
  if (piece.text !== '' || piece.tokens.length > 0) yield { index, ...piece, isEcho };
}

function nextOf(generation: Choice['generation'], index: number) {
  const step = generation.next().then((step) => ({ index, step }));
  // The race sees a rejection when it comes to it; until then, while the consumer is slow, it must not count as unhandled.
  step.catch(() => undefined);
  return step;
}
