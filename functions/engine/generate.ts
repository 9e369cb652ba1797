/**
 * One text, a run at a time: prefill in bounded chunks, then a patch a run. Knows no runtime and no queue; between two steps the
 * caller may run another text, cancel this one, or stop.
 *
 * @module
 */
import { KvCache, type TrunkShape } from './kv-cache.js';
import type { Pace } from './pace.js';
import { isWordByte, PATCH_CAP, SPECIAL, splitPrompt } from './patch.js';
import { RunInputs } from './run-inputs.js';
import { nucleusRow, PatchNoise, SeededRandom } from './sample.js';
import type { Session } from './session.js';
import { StopScanner } from './stop.js';
import type { GenerateOptions, GenerateResult, StopCause } from './types.js';
import { PatchWindow } from './window.js';

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
  /** On the same clock as the options' deadline. */
  readonly nowMs: () => number;
}

export interface GenerationOutcome extends Omit<GenerateResult, 'timings'> {
  /** Runs that read the prompt. The last of them also yields the first patch. */
  readonly prefillMs: number;
  /** All later runs, the re-reading of a window that slid included. */
  readonly decodeMs: number;
}

export class Generation {
  readonly #parts: GenerationParts;
  readonly #options: GenerateOptions;
  readonly #promptPatches: number;
  readonly #window: PatchWindow;
  readonly #cache: KvCache;
  readonly #noise: PatchNoise;
  readonly #scanner: StopScanner;
  readonly #inputs: RunInputs;
  /** The prompt's unfinished patch: the next decoded patch begins with it, and it is not part of the text. */
  #forced: Uint8Array;
  /** Of the last patch; their noise is used up. */
  #spentTurns: number = PATCH_CAP;
  #generatedBytes = 0;
  #releasedBytes = 0;
  #decodedPatches = 0;
  #prefillMs = 0;
  #decodeMs = 0;
  #outcome: GenerationOutcome | undefined;

  constructor(parts: GenerationParts, options: GenerateOptions & { readonly seed: number }) {
    const prompt = splitPrompt(options.prompt);
    this.#parts = parts;
    this.#options = options;
    this.#forced = prompt.unfinished;
    this.#window = new PatchWindow(parts.shape.contextPatches, prompt);
    this.#promptPatches = this.#window.patches;
    this.#cache = new KvCache(parts.session, parts.shape.trunk, this.#window.patches);
    this.#noise = new PatchNoise(options, new SeededRandom(options.seed));
    this.#scanner = new StopScanner(options.stop);
    this.#inputs = new RunInputs(parts.session, this.#noise.data, nucleusRow(options));
    if (options.maxBytes <= 0) this.#end('length');
  }

  /** Set once the text has ended. */
  get outcome(): GenerationOutcome | undefined {
    return this.#outcome;
  }

  /** Ends the text between two runs; what a run in progress yields is dropped. */
  cancel(): void {
    this.#end('cancelled');
  }

  /** At most one run. Returns the bytes that are now certain to be text, often a word, sometimes none. */
  async step(): Promise<Uint8Array> {
    if (this.#outcome !== undefined) return new Uint8Array();
    if (this.#window.overfull) {
      this.#window.slide();
      this.#cache.clear();
    }
    const { session, shape, pace, nowMs } = this.#parts;
    const past = this.#cache.patches;
    const unread = this.#window.patches - past;
    const patches = Math.min(unread, shape.chunkPatches);
    const decodes = patches === unread;
    const startMs = nowMs();
    if (this.#isTooLate(startMs, unread)) return this.#finish('deadline', []);

    this.#cache.reserve(past + patches);
    if (decodes) this.#noise.prepare(this.#forced, this.#spentTurns);
    const feeds = this.#inputs.feeds(this.#cache.feeds, this.#window.read(past, patches), past, patches, decodes);
    const { newkv, toks } = await session.run(feeds, decodes ? ['newkv', 'toks'] : ['newkv']);
    this.#cache.append(newkv?.data as Float32Array, patches);

    const ranMs = nowMs() - startMs;
    pace.observe(patches, decodes, ranMs);
    if (this.#decodedPatches === 0) this.#prefillMs += ranMs;
    else this.#decodeMs += ranMs;
    if (this.#outcome !== undefined || !decodes) return new Uint8Array();
    return this.#take(toks?.data as Int32Array);
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

  /** Turns a decoded patch, int32 [turns] padded after its end, into text. */
  #take(turns: Int32Array): Uint8Array {
    const end = turns.indexOf(SPECIAL.pad);
    const ids = end === -1 ? turns : turns.subarray(0, end);
    this.#window.push(ids);
    this.#spentTurns = ids.length;
    this.#decodedPatches += 1;
    const fresh = ids.subarray(this.#forced.length);
    this.#forced = new Uint8Array();

    const released: number[] = [];
    for (const id of fresh) {
      if (id === SPECIAL.eod || id === SPECIAL.end_of_turn) return this.#finish('eod', released);
      this.#generatedBytes += 1;
      if (this.#scanner.push(id, released)) return this.#finish('stop', released);
      if (this.#generatedBytes === this.#options.maxBytes) return this.#finish('length', released);
    }
    if (this.#isTooLate(this.#parts.nowMs(), 1)) return this.#finish('deadline', released);
    return this.#release(released);
  }

  #finish(cause: StopCause, released: number[]): Uint8Array {
    this.#scanner.flush(released);
    // A patch cut by its cap may end inside a word: the part that no run is left to complete is dropped.
    if (cause === 'deadline') released.length = wholeWordsLength(released);
    const bytes = this.#release(released);
    this.#end(cause);
    return bytes;
  }

  #release(bytes: readonly number[]): Uint8Array {
    this.#releasedBytes += bytes.length;
    return Uint8Array.from(bytes);
  }

  #end(stopCause: StopCause): void {
    this.#outcome ??= {
      stopCause,
      promptPatches: this.#promptPatches,
      completionBytes: this.#releasedBytes,
      decodedPatches: this.#decodedPatches,
      contextTruncated: this.#window.truncated,
      prefillMs: this.#prefillMs,
      decodeMs: this.#decodeMs,
    };
  }
}

/** How many of `bytes` are left when a word that does not end is cut off; all, if they are one long word. */
function wholeWordsLength(bytes: readonly number[]): number {
  const separator = bytes.findLastIndex((byte) => !isWordByte(byte));
  return separator === -1 ? bytes.length : separator + 1;
}
