/**
 * Where characters end in bytes that need not be UTF-8, as the decoder of the Encoding standard cuts them: what it replaces by one U+FFFD
 * is one character too.
 *
 * @module
 */

/** After the character that begins at `at`; undefined if bytes that are yet to come decide. */
export function characterEnd(bytes: ArrayLike<number>, at: number): number | undefined {
  const lead = bytes[at] as number;
  const more = lead < 0xc2 || lead > 0xf4 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  for (let index = 1; index <= more; index += 1) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    const [lowest, highest] = index === 1 ? secondBytes(lead) : ANY;
    if (byte < lowest || byte > highest) return at + index;
  }
  return at + more + 1;
}

const ANY = [0x80, 0xbf] as const;

/** Not what is written longer than it need be, nor surrogates, nor what is beyond Unicode. */
function secondBytes(lead: number): readonly [number, number] {
  if (lead === 0xe0) return [0xa0, 0xbf];
  if (lead === 0xed) return [0x80, 0x9f];
  if (lead === 0xf0) return [0x90, 0xbf];
  if (lead === 0xf4) return [0x80, 0x8f];
  return ANY;
}
