/**
 * The bytes of one choice as text that never splits a character, each piece with the tokens whose bytes it shows if they are told. What
 * is incomplete is held back until it is whole; at the end it becomes U+FFFD.
 *
 * @module
 */
import type { Logprobs } from '../engine/logprobs.js';
import { SPECIAL } from '../engine/patch.js';
import type { Piece } from '../engine/types.js';
import { characterEnd } from './characters.js';
import type { Token } from './tokens.js';

export interface DecodedPiece {
  readonly text: string;
  readonly tokens: readonly Token[];
}

type Untold = Omit<Token, 'textOffset'>;

/** How a prompt stands in the text that echoes it. */
export interface Echo {
  readonly bytes: Uint8Array;
  /** The client set the begin of the text before it, which is then the first token. */
  readonly begins: boolean;
}

export interface PieceDecoder {
  push(piece: Piece): DecodedPiece;
  /** All that is left. */
  end(): DecodedPiece;
}

/** A byte-order mark inside a text is the model's own output and stays. */
const DECODING = { ignoreBOM: true } as const;

/** Of which no tokens are told. A prompt that is echoed may be a megabyte, so no byte is looked at here. */
export class TextOfPieces implements PieceDecoder {
  readonly #decoder = new TextDecoder('utf-8', DECODING);

  push({ bytes }: Piece): DecodedPiece {
    return { text: this.#decoder.decode(bytes, { stream: true }), tokens: [] };
  }

  end(): DecodedPiece {
    return { text: this.#decoder.decode(), tokens: [] };
  }
}

export class ToldTextOfPieces implements PieceDecoder {
  #held: number[] = [];
  /** Of the bytes held and of marks among them. */
  #untold: Untold[] = [];
  #characters = 0;
  #isFirst: boolean;

  /** @param begins the first token is the begin of the text; else, of a scored prompt, its first byte has nothing before it. */
  constructor(begins = false) {
    this.#isFirst = !begins;
    if (begins) this.#untold.push({ id: SPECIAL.bod, logprob: null, top: [] });
  }

  push({ bytes, logprobs, ofPrompt }: Piece): DecodedPiece {
    for (const byte of bytes) this.#held.push(byte);
    if (logprobs !== undefined) this.#untold.push(...untold(logprobs, ofPrompt === true && this.#isFirst));
    if (bytes.length > 0) this.#isFirst = false;
    return this.#decode(false);
  }

  end(): DecodedPiece {
    return this.#decode(true);
  }

  #decode(isEnd: boolean): DecodedPiece {
    const tokens: Token[] = [];
    let end = 0;
    while (end < this.#held.length) {
      const next = characterEnd(this.#held, end) ?? (isEnd ? this.#held.length : undefined);
      if (next === undefined) break;
      this.#tell(next - end, tokens);
      this.#characters += 1;
      end = next;
    }
    const bytes = this.#held.splice(0, end);
    // A mark has no bytes that could be incomplete.
    if (this.#held.length === 0) this.#tell(0, tokens);
    return { text: new TextDecoder('utf-8', DECODING).decode(Uint8Array.from(bytes)), tokens };
  }

  /** The tokens of the next `count` bytes, with marks before and after them. */
  #tell(count: number, into: Token[]): void {
    let left = count;
    while (this.#untold.length > 0 && (left > 0 || this.#untold[0]!.id >= FIRST_MARK)) {
      const token = this.#untold.shift()!;
      if (token.id < FIRST_MARK) left -= 1;
      into.push({ ...token, textOffset: this.#characters });
    }
  }
}

const FIRST_MARK = 256;

function untold({ ids, chosen, topIds, topLogprobs }: Logprobs, firstUnknown: boolean): Untold[] {
  const top = topIds.length / ids.length;
  return Array.from(ids, (id, index) => ({
    id,
    logprob: firstUnknown && index === 0 ? null : (chosen[index] as number),
    top: Array.from({ length: top }, (_, rank) => ({ id: topIds[index * top + rank] as number, logprob: topLogprobs[index * top + rank] as number })),
  }));
}
