/** What might come next, asked for at every pause in typing, and thrown away as soon as the text changes. */
import type { Stlm } from '../client/client.js';
import type { Completion } from '../schema/completion.js';

/** A pause this short falls between two keys of a fast typist. */
const PAUSE_MS = 30;
/** The end of the text says most of what the next words need; reading less is faster. */
const READ_CHARACTERS = 400;
const SUGGESTED_BYTES = 28;

export interface TypeaheadParts {
  readonly stlm: Pick<Stlm, 'complete'>;
  readonly budgetMs: number;
  readonly show: (suggestion: string) => void;
  /** Every answer, for the session's figures. */
  readonly note: (report: Completion['stlm']) => void;
}

export class Typeahead {
  readonly #parts: TypeaheadParts;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asked: AbortController | undefined;

  constructor(parts: TypeaheadParts) {
    this.#parts = parts;
  }

  /** The text changed. */
  ask(text: string): void {
    this.forget();
    this.#timer = setTimeout(() => void this.#ask(text), PAUSE_MS);
  }

  /** Drops what is shown and what is on its way. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    this.#parts.show('');
  }

  async #ask(text: string): Promise<void> {
    if (text.trim() === '') return;
    const asked = new AbortController();
    this.#asked = asked;
    const { stlm, budgetMs, show, note } = this.#parts;
    const options = { prompt: text.slice(-READ_CHARACTERS), max_tokens: SUGGESTED_BYTES, temperature: 0, stop: ['\n'], budgetMs };
    // Aborted by the next key, refused by a full server, too late: typing goes on without a suggestion.
    const answer = await stlm.complete(options, { signal: asked.signal }).catch(() => undefined);
    if (answer === undefined || asked.signal.aborted) return;
    note(answer.stlm);
    show(wholeWords(answer.choices[0]?.text ?? ''));
  }
}

/** A suggestion that ends inside a word suggests what nobody means. */
function wholeWords(text: string): string {
  const end = text.search(/\s\S*$/);
  return end <= 0 ? text : text.slice(0, end);
}
