/**
 * One text as a state machine: what it reads in its next run, and what it makes of the answer. A prompt is read in bounded chunks, each
 * of which may be scored and the last of which also decodes the first patch; then every run decodes a patch. Knows no queue and runs
 * nothing: between two runs the caller may run other texts, cancel this one, or stop.
 *
 * @module
 */
import { Guide } from './guide.js';
import { KvCache, type TrunkShape } from './kv-cache.js';
import { LogprobLog, type RowLogprobs } from './logprobs.js';
import type { Pace } from './pace.js';
import { PATCH_CAP, type PromptPatches, recentIds, SPECIAL, splitPrompt } from './patch.js';
import { PatchSampling } from './patch-sampling.js';
import type { Prefix, PrefixCache } from './prefix-cache.js';
import { PromptScore } from './prompt-score.js';
import type { Reading } from './run-inputs.js';
import { RunTimes, type TimedRun } from './run-times.js';
import type { Session } from './session.js';
import type { GenerateOptions, GenerateResult, Piece, StopCause } from './types.js';
import { keptPatches, PatchWindow } from './window.js';
import { WrittenText } from './written-text.js';

export interface ModelShape {
  readonly trunk: TrunkShape;
  readonly contextPatches: number;
  /** Most patches one run reads. */
  readonly chunkPatches: number;
}

export interface GenerationParts {
  readonly session: Session;
  readonly shape: ModelShape;
  readonly pace: Pace;
  readonly prefixes: PrefixCache;
  /** On the same clock as the options' deadline. */
  readonly nowMs: () => number;
}

export interface GenerationOutcome extends Omit<GenerateResult, 'timings'> {
  /** Runs that read the prompt. The last of them also yields the first patch. */
  readonly prefillMs: number;
  /** All later runs, the re-reading of a window that slid included. */
  readonly decodeMs: number;
  /** What these later runs would have taken without other texts in them. */
  readonly decodeAloneMs: number;
  readonly coreMs: number;
}

/** What a run gave one of its texts. */
export interface RunResult extends TimedRun {
  /** float32 [patches, layers x 2 x kvHeads x headDim]. */
  readonly newkv: Float32Array;
  /** The patch decoded, int32 [turns], padded after its end; undefined if the run only read. */
  readonly turns: Int32Array | undefined;
  /** Of each patch scored, or of the one decoded; none if they were not asked for. A decoded patch is the last. */
  readonly logprobs: readonly RowLogprobs[];
}

/** What is expected of a text's patches before it has many: three tiers' held-out text has 5.1 to 5.2 bytes a patch. */
const USUAL_PATCH_BYTES = 5;
/** Patches of its own that count as much as that. */
const USUAL_PATCHES = 4;

export class Generation {
  readonly #parts: GenerationParts;
  /** Without the prompt, which may be a megabyte, and is held by each text that waits. */
  readonly #options: Omit<GenerateOptions, 'prompt'>;
  readonly #prompt: PromptPatches;
  readonly #promptPatches: number;
  readonly #window: PatchWindow;
  readonly #sampling: PatchSampling;
  readonly #guide: Guide | undefined;
  readonly #text: WrittenText;
  readonly #times = new RunTimes();
  readonly cache: KvCache;
  #reading: Reading | undefined;
  /** Until the prompt has been scored. */
  #score: PromptScore | undefined;
  readonly #scoredPatches: number;
  #scored: Piece[] = [];
  /** As much of the prompt as has been read, in the prefix cache; undefined once that no longer holds it. */
  #prefix: Prefix<Float32Array> | undefined;
  #cachedPatches = 0;
  #cachedBytes = 0;
  /** The prompt's unfinished patch: the next decoded patch begins with it, and it is not part of the text. */
  #forced: Uint8Array;
  #decodedPatches = 0;
  #outcome: GenerationOutcome | undefined;

  constructor(parts: GenerationParts, options: GenerateOptions & { readonly seed: number }) {
    const { contextPatches } = parts.shape;
    const { prompt: ids, ...others } = options;
    const prompt = splitPrompt(options.scoresPrompt === true ? ids : recentIds(ids, contextPatches));
    this.#parts = parts;
    this.#options = others;
    this.#forced = prompt.unfinished;
    this.#window = new PatchWindow(contextPatches, prompt);
    this.#scoredPatches = options.scoresPrompt === true ? patchesToRead(prompt, options.maxBytes) : 0;
    if (this.#scoredPatches > 0) {
      this.#score = new PromptScore(prompt, this.#scoredPatches, contextPatches);
      this.#window.look(prompt, this.#score.window);
    }
    this.#prompt = prompt;
    this.#promptPatches = this.#scoredPatches || this.#window.patches;
    this.cache = new KvCache(parts.session, parts.shape.trunk, this.#window.patches);
    this.#guide = options.grammar && new Guide(options.grammar, options.maxBytes);
    this.#sampling = new PatchSampling(options, this.#guide);
    this.#text = new WrittenText(options, this.#guide);
    this.#prefix = parts.prefixes.root(options.cacheSalt);
    this.#reuse();
    if (options.maxBytes <= 0 && this.#score === undefined) this.#end('length');
  }

  /** Set once the text has ended. */
  get outcome(): GenerationOutcome | undefined {
    return this.#outcome;
  }

  /** Its next run decodes a patch and reads no more than the one before: such runs can be shared. */
  get ready(): boolean {
    return this.#decodedPatches > 0 && this.unreadPatches === 1;
  }

  /** How many patches have to be read before the next is decoded. */
  get unreadPatches(): number {
    const { patches } = this.#window;
    if (this.#score !== undefined) return this.#score.left(this.cache.patches).unread;
    if (this.#window.overfull) return keptPatches(patches, this.#parts.shape.contextPatches);
    return patches - this.cache.patches;
  }

  /** After how many of these what follows them is scored. */
  get unscoredPatches(): number {
    return this.#score?.left(this.cache.patches).unscored ?? 0;
  }

  /** Patches it may still decode, if it ends at its length or with its context. */
  get patchesLeft(): number {
    const { left, generatedBytes } = this.#text;
    const bytesPerPatch = (generatedBytes + USUAL_PATCHES * USUAL_PATCH_BYTES) / (this.#decodedPatches + USUAL_PATCHES);
    const room = this.#options.endsWithContext === true ? this.#parts.shape.contextPatches + 1 - this.#window.patches : Infinity;
    // Nearly every patch is a word with what stands after it.
    return Math.max(1, Math.ceil(Math.min(left.bytes / bytesPerPatch, left.words, room)));
  }

  /** What the run begun reads. */
  get reading(): Reading {
    if (this.#reading === undefined) throw new Error('no run has begun');
    return this.#reading;
  }

  /** Ends the text between two runs; what a run in progress yields is dropped. */
  cancel(): void {
    this.#end('cancelled');
  }

  /** Prepares for a run. False: there is none to make, the text has ended. */
  begin(): boolean {
    if (this.#outcome !== undefined) return false;
    this.#reuse();
    if (this.#isTooLate(this.#parts.nowMs(), this.unreadPatches, this.unscoredPatches)) {
      this.#end('deadline');
      return false;
    }
    this.#moveWindow();
    const past = this.cache.patches;
    const unread = this.#window.patches - past;
    const patches = Math.min(unread, this.#parts.shape.chunkPatches);
    const decodes = patches === unread && this.#score?.isLastWindow !== false && this.#options.maxBytes > 0;
    this.cache.reserve(past + patches);
    if (decodes) this.#sampling.prepare(this.#forced);
    this.#reading = {
      rows: this.#window.read(past, patches),
      past,
      patches,
      decodes,
      sampling: this.#sampling.row,
      logprobs: this.#options.logprobs,
      targets: this.#score?.targets(past, patches) ?? [],
    };
    return true;
  }

  /** Takes what the run gave. */
  end({ newkv, turns, logprobs, ...run }: RunResult): void {
    this.#times.add(run, this.#decodedPatches === 0);
    this.#tellScore(logprobs);
    const ids = turns && untilPadding(turns);
    if (ids !== undefined && this.#guide?.accepts(ids.subarray(this.#forced.length)) === false) {
      this.#decodeAnew(newkv);
      return;
    }
    this.cache.append(newkv);
    this.#share(newkv);
    if (this.#outcome !== undefined) return;
    if (ids !== undefined) this.#take(ids, logprobs.at(-1));
    else if (this.#score === undefined && this.#options.maxBytes <= 0) this.#end('length');
  }

  /** What has become certain since it was last asked for: often a word, sometimes nothing. */
  takePieces(): Piece[] {
    return [...this.#scored.splice(0), ...this.#text.takePieces()];
  }

  /** What no longer fits the context is forgotten; of a prompt that is scored the next window comes once this one is read. */
  #moveWindow(): void {
    if (this.#score !== undefined && this.cache.patches === this.#window.patches) {
      this.#score.advance();
      this.#window.look(this.#prompt, this.#score.window);
      this.cache.clear();
      this.#prefix = undefined;
    } else if (this.#window.overfull) {
      this.#window.slide();
      this.cache.clear();
    }
  }

  /** What is known of the prompt already is told with how probable it was. */
  #tellScore(logprobs: readonly RowLogprobs[]): void {
    const { targets, past, patches } = this.reading;
    // Before the patch is looked at that the same run may have decoded: it may have to be decoded anew, and its prompt not be scored again.
    if (this.#score?.isLastWindow === true && past + patches === this.#window.patches) this.#score = undefined;
    if (targets.length === 0 || this.#outcome !== undefined) return;
    const log = new LogprobLog(this.#options.logprobs ?? 0);
    const bytes = targets.flatMap((ids) => [...ids]);
    for (const [index, ids] of targets.entries()) for (const [turn, id] of ids.entries()) log.push(id, turn, logprobs[index]!);
    if (bytes.length > 0) this.#scored.push({ bytes: Uint8Array.from(bytes), logprobs: log.take(bytes.length), ofPrompt: true });
  }

  /** Leaves the last patch that was read unread, so that the next run decodes after it once more. */
  #decodeAnew(newkv: Float32Array): void {
    this.cache.append(newkv.subarray(0, newkv.length - newkv.length / this.reading.patches));
    this.#prefix = undefined;
    this.#decodedPatches += 1;
  }

  /** Takes over what another prompt with the same beginning has read. The end is always read: its run decodes the first patch. */
  #reuse(): void {
    const { prefixes, shape } = this.#parts;
    // What is scored has to be run.
    if (this.#score !== undefined) return;
    while (this.#decodedPatches === 0 && this.#prefix !== undefined && this.unreadPatches > shape.chunkPatches) {
      const rows = this.#window.read(this.cache.patches, shape.chunkPatches);
      const found = prefixes.find(this.#prefix, rows);
      if (found === undefined) break;
      this.#prefix = found;
      this.cache.append(found.value as Float32Array);
      this.#cachedPatches += shape.chunkPatches;
      this.#cachedBytes += countText(rows.subarray(PATCH_CAP));
    }
  }

  /** Keeps a copy of a whole chunk of the prompt for others. Written text is not kept: runs of one patch may round it differently from prefill. */
  #share(newkv: Float32Array): void {
    const { prefixes, shape } = this.#parts;
    const { rows, patches } = this.reading;
    if (this.#decodedPatches > 0 || this.#prefix === undefined) return;
    this.#prefix = patches === shape.chunkPatches ? prefixes.add(this.#prefix, rows, newkv.slice()) : undefined;
  }

  /** Whether reading `unread` patches, scoring some and decoding the next would outlast the deadline. */
  #isTooLate(startMs: number, unread: number, unscored = 0): boolean {
    const { pace } = this.#parts;
    const { deadlineAtMs } = this.#options;
    if (this.#decodedPatches > 0) return startMs + pace.cautiousMs(unread) > deadlineAtMs;
    // With nothing to show yet, an even chance is worth taking.
    const isTooLate = startMs + pace.likelyMs(unread, unscored) > deadlineAtMs;
    if (isTooLate && startMs < deadlineAtMs) pace.doubt();
    return isTooLate;
  }

  /** Turns a decoded patch, without padding, into text. */
  #take(ids: Int32Array, logprobs: RowLogprobs | undefined): void {
    const from = this.#forced.length;
    this.#window.push(ids);
    this.#sampling.take(ids, from);
    this.#decodedPatches += 1;
    this.#forced = new Uint8Array();
    const cause = this.#text.take(ids, from, logprobs) ?? this.#cutBy();
    if (cause === undefined) this.#text.settle();
    else this.#end(cause);
  }

  /** What leaves a text that has not ended itself no next patch. */
  #cutBy(): 'context' | 'deadline' | undefined {
    if (this.#window.overfull && this.#options.endsWithContext === true) return 'context';
    return this.#isTooLate(this.#parts.nowMs(), 1) ? 'deadline' : undefined;
  }

  #end(stopCause: StopCause): void {
    if (this.#outcome !== undefined) return;
    if (stopCause !== 'cancelled') this.#text.settle(stopCause);
    this.#outcome = {
      stopCause,
      promptPatches: this.#promptPatches,
      cachedPatches: this.#cachedPatches,
      cachedBytes: this.#cachedBytes,
      ...(this.#scoredPatches > 0 && { scoredPatches: this.#scoredPatches - this.unscoredPatches }),
      completionBytes: this.#text.releasedBytes,
      ...(this.#options.logprobs !== undefined && { meanLogprob: this.#text.meanLogprob }),
      decodedPatches: this.#decodedPatches,
      contextTruncated: this.#window.truncated,
      ...this.#times.summary,
    };
  }
}

/** A decoded patch without what stands after its end. */
function untilPadding(turns: Int32Array): Int32Array {
  const end = turns.indexOf(SPECIAL.pad);
  return end === -1 ? turns : turns.subarray(0, end);
}

/** Ids that stand for the client's bytes and marks: all but the padding and the begin of the document. */
function countText(ids: Int32Array): number {
  return ids.reduce((count, id) => (id === SPECIAL.pad || id === SPECIAL.bod ? count : count + 1), 0);
}

/** Of a prompt that is scored: all, but for a last one after which nothing is known or wanted. */
function patchesToRead({ patches, unfinished }: PromptPatches, maxBytes: number): number {
  return unfinished.length > 0 || maxBytes > 0 ? patches : patches - 1;
}
