/**
 * The beginning or the end of a text that is too long, cut where a patch ends, which is mostly between words. A mark follows the text, or
 * stands in it, which is a special: it closes a patch, or is one by itself.
 *
 * @module
 */
import { countPromptPatches, PATCH_CAP, PatchSplitter } from './patch.js';

/** Of a text after a mark and before another, with the latter. `countPromptPatches` counts the begin of a document as the first. */
export function markedPatches(text: Uint8Array): number {
  return countPromptPatches(text);
}

/** No more bytes are looked at than patches can have. */
function fits(text: Uint8Array, patches: number): boolean {
  return text.length <= patches * PATCH_CAP && markedPatches(text) <= patches;
}

/** From where a patch starts, so that it takes at most `patches`, of which there is at least one. */
export function ending(text: Uint8Array, patches: number): Uint8Array {
  if (fits(text, patches)) return text;
  // What lies further back than so many longest patches cannot be kept, and may be a megabyte.
  const tail = text.subarray(-(patches + 1) * PATCH_CAP);
  let start = [0, ...patchEnds(tail)].at(-patches) as number;
  // A patch that ended at its cap may have cut a character in two.
  while (isInsideCharacter(tail[start])) start += 1;
  return tail.slice(start);
}

/** Up to where a patch ends, so that it takes at most `patches`, of which there is at least one. */
export function beginning(text: Uint8Array, patches: number): Uint8Array {
  if (fits(text, patches)) return text;
  let end = [0, ...patchEnds(text.subarray(0, patches * PATCH_CAP))][patches - 1] as number;
  while (end > 0 && isInsideCharacter(text[end])) end -= 1;
  return text.slice(0, end);
}

/** Indices after the last bytes of a text's patches. */
export function patchEnds(text: Uint8Array): number[] {
  const splitter = new PatchSplitter();
  const ends: number[] = [];
  for (const [index, byte] of text.entries()) if (splitter.endsPatch(byte)) ends.push(index + 1);
  return ends;
}

function isInsideCharacter(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
