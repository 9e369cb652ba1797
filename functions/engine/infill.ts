/**
 * A gap between two texts as the ids that ask a model to fill it: `[fim_suffix] suffix [fim_prefix] prefix`, after which it writes the
 * middle and ends it with the end of a text. `[fim_middle]` stands in the prefix before its last whole patch, and tells that the gap is
 * near. It is the document of training (`model-core/stlm/infill.py`).
 *
 * @module
 */
import { beginning, ending, markedPatches, patchEnds } from './excerpt.js';
import { countPromptPatches, PATCH_CAP, SPECIAL } from './patch.js';

export interface FittedGap {
  /** After the begin of the document. */
  readonly ids: Uint16Array;
  /** Complete ones, the begin of the document included. */
  readonly patches: number;
  /** Something had to be left out. */
  readonly truncated: boolean;
}

/** The begin of the document, and the mark before the suffix. */
const FRAME_PATCHES = 2;
/** What a suffix gets of the room if both are too long: what came before says more of what comes next. */
const SUFFIX_SHARE = 0.25;

/**
 * What is nearest the gap is kept: the end of the prefix and the beginning of the suffix, three parts to one if both are too long, and
 * what one does not need is the other's.
 *
 * @param middlePatches room for the text is left up to half of the context.
 */
export function fitGap(prefix: Uint8Array, suffix: Uint8Array, contextPatches: number, middlePatches: number): FittedGap {
  const roomPatches = contextPatches - Math.min(Math.ceil(middlePatches), contextPatches >> 1) - FRAME_PATCHES;
  // A longer one has surely more patches, and need not be counted.
  const spare = prefix.length > roomPatches * PATCH_CAP ? 0 : Math.max(0, roomPatches - markedPatches(prefix));
  const after = beginning(suffix, Math.max(1, Math.floor(SUFFIX_SHARE * roomPatches), spare));
  const before = ending(prefix, Math.max(1, roomPatches - markedPatches(after)));
  const near = patchEnds(before).at(-2) ?? 0;
  const ids = Uint16Array.of(SPECIAL.fim_suffix, ...after, SPECIAL.fim_prefix, ...before.subarray(0, near), SPECIAL.fim_middle, ...before.subarray(near));
  return {
    ids,
    // A mark in a long word may save one of those foreseen.
    patches: countPromptPatches(ids),
    truncated: before.length < prefix.length || after.length < suffix.length,
  };
}
