/**
 * One text as a state machine: what it reads in its next run, and what it makes of the answer. A prompt is read in bounded chunks,
 * the last of which also decodes the first patch; then every run decodes a patch. Knows no queue and runs nothing: between two runs
 * the caller may run other texts, cancel this one, or stop.
 *
 * @module
 */
import { Guide } from './guide.js';
import { KvCache, type TrunkShape } from './kv-cache.js';
import type { Pace } from './pace.js';
import { isWordByte, PATCH_CAP, SPECIAL, splitPrompt } from './patch.js';
import type { Prefix, PrefixCache } from './prefix-cache.js';
import type { Reading } from './run-inputs.js';
import { nucleusRow, PatchNoise, SeededRandom } from './sample.js';
import type { Session } from './session.js';
import { StopScanner } from './stop.js';
import type { GenerateOptions, GenerateResult, StopCause } from './types.js';
import { keptPatches, PatchWindow } from './window.js';

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
}

/** What a run gave one of its texts. */
export interface RunResult {
  /** float32 [patches, layers x 2 x kvHeads x headDim]. */
  readonly newkv: Float32Array;
  /** The patch decoded, int32 [turns], padded after its end; undefined if the run only read. */
  readonly turns: Int32Array | undefined;
  /** That shared the run. */
  readonly texts: number;
  readonly ranMs: number;
  /** What the run would have taken for this text alone. */
  readonly aloneMs: number;
}

/** What is expected of a text's patches before it has many: three tiers' held-out text has 5.1 to 5.2 bytes a patch. */
const USUAL_PATCH_BYTES = 5;
/** Patches of its own that count as much as that. */
const USUAL_PATCHES = 4;

export class Generation {
  readonly #parts: GenerationParts;
  readonly #options: GenerateOptions;
  readonly #promptPatches: number;
  readonly #window: PatchWindow;
  readonly #noise: PatchNoise;
  readonly #nucleus: Float32Array;
  readonly #scanner: StopScanner;
  readonly #guide: Guide | undefined;
  readonly cache: KvCache;
  #reading: Reading | undefined;
  /** As much of the prompt as has been read, in the prefix cache; undefined once that no longer holds it. */
  #prefix: Prefix<Float32Array> | undefined;
  #cachedPatches = 0;
  #cachedBytes = 0;
  /** The prompt's unfinished patch: the next decoded patch begins with it, and it is not part of the text. */
  #forced: Uint8Array;
  /** Of the last patch; their noise is used up. */
  #spentTurns: number = PATCH_CAP;
  /** Certain to be text, and not yet taken. */
  #released: number[] = [];
  #generatedBytes = 0;
  #releasedBytes = 0;
  #decodedPatches = 0;
  #prefillMs = 0;
  #decodeRuns = 0;
  #decodeTexts = 0;
  #decodeMs = 0;
  #decodeAloneMs = 0;
  #outcome: GenerationOutcome | undefined;

  constructor(parts: GenerationParts, options: GenerateOptions & { readonly seed: number }) {
    const prompt = splitPrompt(options.prompt);
    this.#parts = parts;
    this.#options = options;
    this.#forced = prompt.unfinished;
    this.#window = new PatchWindow(parts.shape.contextPatches, prompt);
    this.#promptPatches = this.#window.patches;
    this.cache = new KvCache(parts.session, parts.shape.trunk, this.#window.patches);
    this.#noise = new PatchNoise(options, new SeededRandom(options.seed));
    this.#nucleus = nucleusRow(options);
    this.#scanner = new StopScanner(options.stop);
    this.#guide = options.grammar && new Guide(options.grammar, options.maxBytes);
    this.#prefix = parts.prefixes.root(options.cacheSalt);
    this.#reuse();
    if (options.maxBytes <= 0) this.#finish('length');
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
    if (this.#window.overfull) return keptPatches(patches, this.#parts.shape.contextPatches);
    return patches - this.cache.patches;
  }

  /** Patches it may still decode, if it ends at its length. */
  get patchesLeft(): number {
    const bytesPerPatch = (this.#generatedBytes + USUAL_PATCHES * USUAL_PATCH_BYTES) / (this.#decodedPatches + USUAL_PATCHES);
    return Math.max(1, Math.ceil((this.#options.maxBytes - this.#generatedBytes) / bytesPerPatch));
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
    if (this.#isTooLate(this.#parts.nowMs(), this.unreadPatches)) {
      this.#finish('deadline');
      return false;
    }
    if (this.#window.overfull) {
      this.#window.slide();
      this.cache.clear();
    }
    const past = this.cache.patches;
    const patches = Math.min(this.unreadPatches, this.#parts.shape.chunkPatches);
    const decodes = patches === this.unreadPatches;
    this.cache.reserve(past + patches);
    if (decodes) this.#prepareNoise();
    this.#reading = { rows: this.#window.read(past, patches), past, patches, decodes, noise: this.#noise.data, nucleus: this.#nucleus };
    return true;
  }

  /** Takes what the run gave. */
  end({ newkv, turns, texts, ranMs, aloneMs }: RunResult): void {
    if (this.#decodedPatches === 0) {
      this.#prefillMs += ranMs;
    } else {
      this.#decodeRuns += 1;
      this.#decodeTexts += texts;
      this.#decodeMs += ranMs;
      this.#decodeAloneMs += aloneMs;
    }
    const ids = turns && untilPadding(turns);
    if (ids !== undefined && this.#guide?.accepts(ids.subarray(this.#forced.length)) === false) {
      this.#decodeAnew(newkv);
      return;
    }
    this.cache.append(newkv);
    this.#share(newkv);
    if (this.#outcome === undefined && ids !== undefined) this.#take(ids);
  }

  /** The bytes that have become certain to be text since they were last asked for: often a word, sometimes none. */
  takeBytes(): Uint8Array {
    return Uint8Array.from(this.#released.splice(0));
  }

  #prepareNoise(): void {
    if (this.#guide === undefined) {
      this.#noise.prepare(this.#forced, this.#spentTurns);
      return;
    }
    const forced = [...this.#forced, ...this.#guide.kept];
    this.#noise.prepare(forced);
    this.#guide.restrict(this.#noise, forced.length);
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

  /** Whether reading `unread` patches and decoding the next would outlast the deadline. */
  #isTooLate(startMs: number, unread: number): boolean {
    const { pace } = this.#parts;
    const { deadlineAtMs } = this.#options;
    if (this.#decodedPatches > 0) return startMs + pace.cautiousMs(unread) > deadlineAtMs;
    // With nothing to show yet, an even chance is worth taking.
    const isTooLate = startMs + pace.likelyMs(unread) > deadlineAtMs;
    if (isTooLate && startMs < deadlineAtMs) pace.doubt();
    return isTooLate;
  }

  /** Turns a decoded patch, without padding, into text. */
  #take(ids: Int32Array): void {
    this.#window.push(ids);
    this.#spentTurns = ids.length;
    this.#decodedPatches += 1;
    const fresh = ids.subarray(this.#forced.length);
    this.#forced = new Uint8Array();

    const released: number[] = [];
    for (const id of fresh) {
      if (id === SPECIAL.eod || id === SPECIAL.end_of_turn) return this.#finish('eod', released);
      this.#generatedBytes += 1;
      this.#guide?.take(id);
      if (this.#scanner.push(id, released)) return this.#finish('stop', released);
      if (this.#guide?.over === true) return this.#finish('eod', released);
      if (this.#generatedBytes === this.#options.maxBytes) return this.#finish(this.#guide?.whole === true ? 'eod' : 'length', released);
    }
    if (this.#isTooLate(this.#parts.nowMs(), 1)) return this.#finish('deadline', released);
    this.#release(released);
  }

  #finish(cause: StopCause, released: number[] = []): void {
    this.#scanner.flush(released);
    // A patch cut by its cap may end inside a word: the part that no run is left to complete is dropped.
    if (cause === 'deadline') released.length = wholeWordsLength(released);
    this.#release(released);
    this.#end(cause);
  }

  #release(bytes: readonly number[]): void {
    this.#releasedBytes += bytes.length;
    this.#released.push(...bytes);
  }

  #end(stopCause: StopCause): void {
    this.#outcome ??= {
      stopCause,
      promptPatches: this.#promptPatches,
      cachedPatches: this.#cachedPatches,
      cachedBytes: this.#cachedBytes,
      completionBytes: this.#releasedBytes,
      decodedPatches: this.#decodedPatches,
      contextTruncated: this.#window.truncated,
      meanBatch: this.#decodeRuns > 0 ? this.#decodeTexts / this.#decodeRuns : 1,
      prefillMs: this.#prefillMs,
      decodeMs: this.#decodeMs,
      decodeAloneMs: this.#decodeAloneMs,
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

/** How many of `bytes` are left when a word that does not end is cut off; all, if they are one long word. */
function wholeWordsLength(bytes: readonly number[]): number {
  const separator = bytes.findLastIndex((byte) => !isWordByte(byte));
  return separator === -1 ? bytes.length : separator + 1;
}
