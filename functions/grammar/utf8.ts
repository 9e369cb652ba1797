/**
 * A range of code points as the bytes that UTF-8 writes it in: a few sequences of byte ranges, as in RE2 and Rust's utf8-ranges.
 *
 * @module
 */

export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** One byte range for each byte of the encoding; a code point is in it if each of its bytes is in its range. */
export type ByteSequence = readonly ByteRange[];

/** Code points up to these take 1, 2, 3 and 4 bytes. */
const LONGEST = [0x7f, 0x7ff, 0xffff, 0x10ffff] as const;
const SURROGATES = { from: 0xd800, to: 0xdfff };
const CONTINUATION_BITS = 6;
const CONTINUATION_MASK = 0x3f;

/** @param from to inclusive. Surrogates have no encoding and are left out. */
export function utf8Sequences(from: number, to: number): ByteSequence[] {
  if (from > to) return [];
  if (from <= SURROGATES.to && to >= SURROGATES.from) {
    return [...utf8Sequences(from, Math.min(to, SURROGATES.from - 1)), ...utf8Sequences(Math.max(from, SURROGATES.to + 1), to)];
  }
  // One length at a time, and so that all bytes but the first run through whole ranges.
  for (const longest of LONGEST) {
    if (from <= longest && to > longest) return [...utf8Sequences(from, longest), ...utf8Sequences(longest + 1, to)];
  }
  const length = LONGEST.findIndex((longest) => to <= longest) + 1;
  for (let bytes = 1; bytes < length; bytes += 1) {
    const mask = (1 << (CONTINUATION_BITS * bytes)) - 1;
    if ((from & ~mask) === (to & ~mask)) continue;
    if ((from & mask) !== 0) return [...utf8Sequences(from, from | mask), ...utf8Sequences((from | mask) + 1, to)];
    if ((to & mask) !== mask) return [...utf8Sequences(from, (to & ~mask) - 1), ...utf8Sequences(to & ~mask, to)];
  }
  const [first, last] = [encode(from, length), encode(to, length)];
  return [first.map((byte, index) => ({ from: byte, to: last[index] as number }))];
}

function encode(codePoint: number, length: number): number[] {
  if (length === 1) return [codePoint];
  const bytes: number[] = [];
  let rest = codePoint;
  for (let index = 1; index < length; index += 1) {
    bytes.unshift(0x80 | (rest & CONTINUATION_MASK));
    rest >>= CONTINUATION_BITS;
  }
  return [(0xff00 >> length) & 0xff | rest, ...bytes];
}
