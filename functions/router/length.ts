/**
 * How much text a request will need. `max_tokens` is only a bound: a tier ends its text by itself at some rate a byte, and how many
 * bytes it packs into a patch depends on what it writes. Both are observed per tier.
 */
export interface LengthModel {
  /** Decayed counts of texts that ended by themselves and of the bytes they and all others ran to. */
  readonly stops: number;
  readonly stopBytes: number;
  /** Decayed counts behind bytes per patch. */
  readonly bytes: number;
  readonly patches: number;
}

/**
 * Kinds of text that end for different reasons, so that the lengths of one say nothing of another's: where the model thinks that it
 * is over, at a stop string, with a turn of a chat, where a grammar leaves nothing more, where a gap is filled.
 */
export type LengthClass = 'plain' | 'stop' | 'chat' | 'guided' | 'infill';

/** Observations that are remembered: 1 / (1 - DECAY) texts. */
const DECAY = 0.98;
/** The weight, in patches, of the manifest's bytes per patch against observations. */
const PRIOR_PATCHES = 50;
/** The patch in which a text is cut off is half used on average. */
const CUT_PATCH = 0.5;
/** Before any text has ended by itself: one stop in so many bytes, held as half an observation. */
const PRIOR_STOPS = 0.5;
const PRIOR_STOP_BYTES = 4_096;

export function lengthPrior(bytesPerPatch: number): LengthModel {
  return { stops: 0, stopBytes: 0, bytes: bytesPerPatch * PRIOR_PATCHES, patches: PRIOR_PATCHES };
}

/** Patches that a text of so many bytes takes. */
export function patchesFor(model: LengthModel, bytes: number): number {
  return (bytes * model.patches) / model.bytes + CUT_PATCH;
}

/** Bytes of text in so many words: a patch is nearly always a word with what stands after it. */
export function bytesInWords(model: LengthModel, words: number): number {
  return (words * model.bytes) / model.patches;
}

/** Natural ends per byte of text. */
function stopRate(model: LengthModel): number {
  return (model.stops + PRIOR_STOPS) / (model.stopBytes + PRIOR_STOP_BYTES);
}

/**
 * The length that a share `quantile` of such texts stays within: an exponential length, cut at `maxBytes`. Memoryless, so it also
 * answers for a text that is half done.
 */
export function lengthQuantile(model: LengthModel, maxBytes: number, quantile: number): number {
  return Math.min(maxBytes, Math.ceil(-Math.log(1 - quantile) / stopRate(model)));
}

export function learnLength(model: LengthModel, text: { bytes: number; patches: number; endedByItself: boolean }): LengthModel {
  return {
    stops: model.stops * DECAY + (text.endedByItself ? 1 : 0),
    stopBytes: model.stopBytes * DECAY + text.bytes,
    bytes: model.bytes * DECAY + text.bytes,
    patches: model.patches * DECAY + Math.max(0, text.patches - (text.endedByItself ? 0 : CUT_PATCH)),
  };
}
