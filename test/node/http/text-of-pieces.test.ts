import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Piece } from '../../../functions/engine/types.js';
import { TextOfPieces, ToldTextOfPieces } from '../../../functions/routes/text-of-pieces.js';

/** Bytes that are UTF-8 in part, cut anywhere. */
const someBytes = fc
  .array(fc.oneof(fc.string({ unit: 'grapheme', maxLength: 3 }).map((text) => Array.from(new TextEncoder().encode(text))), fc.array(fc.nat(255), { maxLength: 3 }), fc.constantFrom([0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xed, 0xa0, 0x80], [0xef, 0xbb, 0xbf])), { maxLength: 12 })
  .map((parts) => parts.flat());
const cuts = fc.array(fc.nat(40), { maxLength: 6 });

function pieces(bytes: readonly number[], places: readonly number[]): Piece[] {
  const edges = [0, ...places.map((place) => Math.min(place, bytes.length)), bytes.length].toSorted((a, b) => a - b);
  return edges.slice(1).map((end, index) => {
    const ids = Uint16Array.from(bytes.slice(edges[index], end));
    return { bytes: Uint8Array.from(ids), logprobs: { ids, chosen: Float32Array.from(ids, (id) => -id), topIds: new Uint16Array(), topLogprobs: new Float32Array() } };
  });
}

const decode = (bytes: readonly number[]) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));

describe('bytes that come in pieces', () => {
  test('are the text that they are whole, wherever they are cut, and each piece has the tokens of its bytes', () => {
    fc.assert(
      fc.property(someBytes, cuts, (bytes, places) => {
        const decoder = new ToldTextOfPieces();
        const told = [...pieces(bytes, places).map((piece) => decoder.push(piece)), decoder.end()];
        expect(told.map(({ text }) => text).join('')).toBe(decode(bytes));
        const tokens = told.flatMap((piece) => piece.tokens);
        expect(tokens.map(({ id }) => id)).toEqual(bytes);
        expect(tokens.map(({ logprob }) => logprob)).toEqual(bytes.map((byte) => -byte));
        for (const { text, tokens } of told) expect(decode(tokens.map(({ id }) => id))).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  test('are the same pieces of text where no tokens are told', () => {
    fc.assert(
      fc.property(someBytes, cuts, (bytes, places) => {
        const [told, untold] = [new ToldTextOfPieces(), new TextOfPieces()];
        for (const piece of pieces(bytes, places)) expect(untold.push(piece)).toEqual({ text: told.push(piece).text, tokens: [] });
        expect(untold.end()).toEqual({ text: told.end().text, tokens: [] });
      }),
      { numRuns: 500 },
    );
  });

  test('tell where in the text the character of each byte begins', () => {
    fc.assert(
      fc.property(someBytes, cuts, (bytes, places) => {
        const decoder = new ToldTextOfPieces();
        const tokens = [...pieces(bytes, places).flatMap((piece) => decoder.push(piece).tokens), ...decoder.end().tokens];
        const characters = [...decode(bytes)];
        const own = (offset: number) => tokens.filter(({ textOffset }) => textOffset === offset).map(({ id }) => id);
        expect(characters.map((_, offset) => decode(own(offset)))).toEqual(characters);
        expect(tokens.every(({ textOffset }, index) => textOffset >= (tokens[index - 1]?.textOffset ?? 0))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test.each([TextOfPieces, ToldTextOfPieces])('of a megabyte are decoded at once: %o', (Decoder) => {
    const bytes = new Uint8Array(1 << 20).fill(0x61);
    expect(new Decoder().push({ bytes }).text).toHaveLength(1 << 20);
  });
});
