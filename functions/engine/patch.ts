/**
 * Where a stream of byte ids is cut into patches. The rule and its reasons are in `model-core/stlm/patch.py`.
 *
 * @module
 */
import { ID_CLASSES, PATCH_CAP, SPECIAL } from '../schema/patch-rule.js';

export { PATCH_CAP, SPECIAL, VOCABULARY } from '../schema/patch-rule.js';

const WORD = 1;
const SPECIAL_CLASS = 2;
const classOfId = Uint8Array.from(ID_CLASSES, (letter) => 'swx'.indexOf(letter));

/** Decides, id by id, where patches end. Prefix-stable: the answer for an id never depends on later ids. */
export class PatchSplitter {
  #length = 0;
  #afterWord = false;

  /** Whether `id`, the next of the stream, ends its patch. */
  endsPatch(id: number): boolean {
    const idClass = classOfId[id];
    this.#length += 1;
    const ends = idClass === SPECIAL_CLASS || (idClass !== WORD && this.#afterWord) || this.#length === PATCH_CAP;
    this.#afterWord = idClass === WORD;
    if (ends) this.#length = 0;
    return ends;
  }
}

export function isWordByte(id: number): boolean {
  return classOfId[id] === WORD;
}

export interface PromptPatches {
  /** Complete patches as the graph reads them: [patches, PATCH_CAP], unused cells hold the padding id. */
  readonly rows: Int32Array;
  readonly patches: number;
  /** The bytes after the last patch end: the forced prefix of the first decoded patch. */
  readonly unfinished: Uint8Array;
}

/** Bytes, or in 16 bits specials among them: whoever hands over bytes cannot hand over a special. */
export type PromptIds = Uint8Array | Uint16Array;

/** Cuts the stream [begin of document, ...prompt]. The first patch is always the begin-of-document id alone. */
export function splitPrompt(prompt: PromptIds): PromptPatches {
  const patches = countPromptPatches(prompt);
  const rows = new Int32Array(patches * PATCH_CAP).fill(SPECIAL.pad);
  const splitter = new PatchSplitter();
  splitter.endsPatch(SPECIAL.bod);
  rows[0] = SPECIAL.bod;
  let row = 1;
  let patchStart = 0;
  for (let index = 0; index < prompt.length; index += 1) {
    const id = prompt[index] as number;
    if (row < patches) rows[row * PATCH_CAP + index - patchStart] = id;
    if (splitter.endsPatch(id)) {
      row += 1;
      patchStart = index + 1;
    }
  }
  // A special ends its patch, so what is left over is bytes.
  return { rows, patches, unfinished: Uint8Array.from(prompt.subarray(patchStart)) };
}

/**
 * Enough of a prompt's end for a context of so many patches, from where one of its own begins: it has more than those, and the last of them
 * are the same. The table of all patches of a megabyte would be 23 MiB.
 */
export function recentIds(prompt: PromptIds, patches: number): PromptIds {
  const latest = prompt.length - (patches + 3) * PATCH_CAP;
  if (latest <= 0) return prompt;
  let sure = latest;
  while (sure > 0 && !surelyEnds(prompt, sure - 1)) sure -= 1;
  // Nothing ends a patch between them, so that all are as long as can be.
  const start = latest - ((latest - sure) % PATCH_CAP);
  return prompt.subarray(surelyEnds(prompt, start) ? start + 1 : start);
}

/** Whether an id ends its patch, wherever that began. */
function surelyEnds(prompt: PromptIds, index: number): boolean {
  const idClass = classOfId[prompt[index] as number];
  return idClass === SPECIAL_CLASS || (idClass !== WORD && index > 0 && classOfId[prompt[index - 1] as number] === WORD);
}

/** Complete patches of [begin of document, ...prompt]: what prefill has to read, if it fits the context. */
export function countPromptPatches(prompt: PromptIds): number {
  const splitter = new PatchSplitter();
  let patches = 1;
  for (let index = 0; index < prompt.length; index += 1) {
    if (splitter.endsPatch(prompt[index] as number)) patches += 1;
  }
  return patches;
}
