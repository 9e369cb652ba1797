/**
 * A chat as the ids that ask a model for its next reply: `[role] text [end_of_turn]` for each turn, then `[assistant]`. It is the
 * document of training (`model-core/stlm/chat.py`) up to where the reply begins. Marks are specials and text is bytes, so no text can
 * imitate a mark.
 *
 * @module
 */
import type { ChatTemplate } from '../schema/manifest.js';
import { ending, markedPatches } from './excerpt.js';

export interface Turn {
  readonly role: keyof ChatTemplate['roles'];
  readonly bytes: Uint8Array;
  /** Marks included. They are specials, which end their patches: so a turn's patches do not depend on its neighbours. */
  readonly patches: number;
}

export interface FittedChat {
  readonly turns: readonly Turn[];
  /** Of the whole prompt, the begin of the document included; all of them are complete. */
  readonly patches: number;
  /** Something had to be left out. */
  readonly truncated: boolean;
}

/** The begin of the document, and the mark that asks for the reply. */
const FRAME_PATCHES = 2;

export function turn(role: Turn['role'], text: string): Turn {
  return sized(role, new TextEncoder().encode(text));
}

/** The mark of a role is a patch of its own; `end_of_turn` closes the last one. */
function sized(role: Turn['role'], bytes: Uint8Array): Turn {
  return { role, bytes, patches: markedPatches(bytes) + 1 };
}

/**
 * What of a chat to show a model: all of it, or the system's turn and the newest others that leave room for the reply. Turns are
 * kept whole, so that the model never reads the end of something as if it were a beginning; only a last turn that is too long by
 * itself loses its beginning.
 *
 * @param turns the system's first if there is one, and at least one of another role.
 * @param replyPatches room for the reply is left up to half of the context: what a long reply may need later is not worth more
 *   than what was said.
 */
export function fitChat(turns: readonly Turn[], contextPatches: number, replyPatches: number): FittedChat {
  const roomPatches = contextPatches - Math.min(Math.ceil(replyPatches), contextPatches >> 1) - FRAME_PATCHES;
  const system = turns.filter(({ role }) => role === 'system');
  const said = turns.slice(system.length);
  const asked = said.at(-1) as Turn;
  // Instructions that would leave the question less than half are no use to it.
  const isTooMuch = patchesOf([...system, asked]) > roomPatches && patchesOf(system) > roomPatches / 2;
  const instructions = isTooMuch ? [] : system;
  const question = shortened(asked, roomPatches - patchesOf(instructions));

  let leftPatches = roomPatches - patchesOf([...instructions, question]);
  let first = said.length - 1;
  for (; first > 0 && (said[first - 1] as Turn).patches <= leftPatches; first -= 1) leftPatches -= (said[first - 1] as Turn).patches;

  const kept = [...instructions, ...said.slice(first, -1), question];
  return { turns: kept, patches: FRAME_PATCHES + patchesOf(kept), truncated: kept.length < turns.length || question !== asked };
}

/** The ids of a chat after its begin of document, which the engine sets before every prompt. */
export function replyPrompt(turns: readonly Turn[], { roles, endOfTurn }: ChatTemplate): Uint16Array {
  const ids = new Uint16Array(turns.reduce((length, { bytes }) => length + bytes.length + 2, 1));
  let at = 0;
  for (const { role, bytes } of turns) {
    ids[at] = roles[role];
    ids.set(bytes, at + 1);
    at += bytes.length + 2;
    ids[at - 1] = endOfTurn;
  }
  ids[at] = roles.assistant;
  return ids;
}

/** The end of a turn, so that it takes at most `patches`. */
function shortened(whole: Turn, patches: number): Turn {
  // The mark of the role takes a patch.
  return whole.patches <= patches ? whole : sized(whole.role, ending(whole.bytes, Math.max(1, patches - 1)));
}

function patchesOf(turns: readonly Turn[]): number {
  return turns.reduce((sum, { patches }) => sum + patches, 0);
}
