/**
 * What the engine promises to the layers above it. Runtime-free: the Node pool and the edge engine both implement it.
 *
 * @module
 */
import type { ByteAutomaton } from '../grammar/automaton.js';
import type { Manifest } from '../schema/manifest.js';
import type { Logprobs } from './logprobs.js';
import type { PromptIds } from './patch.js';

export interface GenerateOptions {
  /** What stands after the begin of the document; may end in the middle of a word. */
  readonly prompt: PromptIds;
  readonly maxBytes: number;
  /** 0 = greedy. */
  readonly temperature: number;
  /** (0, 1]. */
  readonly topP: number;
  /** 0 = off. */
  readonly topK: number;
  /** Only bytes at least so likely as this share of the likeliest's probability; off if absent. */
  readonly minP?: number;
  /** What each byte's logit loses for every time the text so far has it, and once if it has it at all; nothing if absent. */
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  /** By what the logit of each byte of the text so far or of the prompt is made smaller: divided if positive, else multiplied; 1 if absent. */
  readonly repetitionPenalty?: number;
  /** The same seed on the same tier gives the same text; undefined draws one. */
  readonly seed: number | undefined;
  readonly stop: readonly Uint8Array[];
  /** Byte value to the bias added to its logit. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** Prompts share what has been read of a common beginning with those of the same salt only: no client learns what another asked. */
  readonly cacheSalt: string;
  /** Epoch milliseconds, as `performance.timeOrigin + performance.now()`; Infinity = none. */
  readonly deadlineAtMs: number;
  /** What the text has to be one of; anything if absent. */
  readonly grammar?: ByteAutomaton;
  /** Ends the text where the context does (`context`), rather than forget how it began. */
  readonly endsWithContext?: boolean;
  /** Ends the text after so many words; see `WordCount`. */
  readonly maxWords?: number;
  /** Tells of every byte how probable it was, and of so many of the likeliest ids beside it; of none if absent. */
  readonly logprobs?: number;
  /** Tells that of the prompt too, which must be bytes, before the text: read in windows if it is longer than the context. */
  readonly scoresPrompt?: boolean;
}

/** What has become certain of a text at once: often a word. */
export interface Piece {
  readonly bytes: Uint8Array;
  /** Of each byte, and of the mark that ends the text, if they were asked for. */
  readonly logprobs?: Logprobs;
  /** It is not of the text but of the prompt before it, which was scored. */
  readonly ofPrompt?: true;
}

export type StopCause = 'eod' | 'stop' | 'length' | 'context' | 'deadline' | 'cancelled';

export interface GenerateTimings {
  /** All that is not one of the next three: waiting for the worker, for other generations' runs between its own, for messages. */
  readonly queueMs: number;
  /** Until the tier was warm on its worker; about 0 if it was. */
  readonly loadMs: number;
  /** Its own runs until the first patch of text: the last of them reads the end of the prompt and decodes. */
  readonly prefillMs: number;
  /** Its own later runs, one for each further patch; a window that slides adds the re-reading of what was kept. */
  readonly decodeMs: number;
  /** What those would have taken without other texts in them. */
  readonly decodeAloneMs: number;
  /** Of all its runs, times the threads of each, shared out among the texts of a run. */
  readonly coreMs: number;
  /** From the call to the first byte; equals the whole time when no byte came. */
  readonly firstByteMs: number;
}

export interface GenerateResult {
  readonly stopCause: StopCause;
  /** Complete patches of [begin of document, ...prompt] that are left to read once it fits the context. 0 if the tier never became warm. */
  readonly promptPatches: number;
  /** Of those, how many had been read for an earlier prompt and were not read again; and how many of the prompt's ids these hold. */
  readonly cachedPatches: number;
  readonly cachedBytes: number;
  /** Patches from which the prompt's bytes were scored; absent if they were not. All of them have been read, whatever the context holds. */
  readonly scoredPatches?: number;
  /** Bytes of text yielded. */
  readonly completionBytes: number;
  /** Mean log-probability of its bytes and of the mark that ended it, if they were asked for; -Infinity of none. */
  readonly meanLogprob?: number;
  /** Each time it was decoded, if a grammar had it decoded anew. */
  readonly decodedPatches: number;
  /** The oldest part of the text no longer fitted the context and was forgotten. */
  readonly contextTruncated: boolean;
  /** Texts in its decode runs after the first patch, itself among them, on average. */
  readonly meanBatch: number;
  readonly timings: GenerateTimings;
}

export type TierState = 'cold' | 'loading' | 'ready' | 'quarantined';

export interface TierStatus {
  readonly id: string;
  readonly state: TierState;
  /** Why it is quarantined; of a cold tier, why its last load failed or its next one would. */
  readonly reason?: string;
  readonly loadMs?: number;
  /** It is warm on these. */
  readonly workers: readonly number[];
  /** What its copies take, the caches of their texts included: an estimate. */
  readonly memoryBytes: number;
}

export interface Placement {
  readonly tier: string;
  readonly worker: number;
}

export interface Engine {
  /** Ascending by unique parameters. */
  readonly manifests: readonly Manifest[];
  readonly workers: number;
  status(): readonly TierStatus[];
  isWarm(placement: Placement): boolean;
  /** Whether one more copy of the tier would find memory, if need be that of idle ones. */
  hasRoom(tier: string): boolean;
  /** By worker: of such a prompt's patches, how many would probably not have to be read again. */
  cachedPatches(tier: string, prompt: PromptIds, cacheSalt: string): readonly number[];
  /** Loads a tier into a worker (single flight); the load's measured ms. */
  load(placement: Placement): Promise<number>;
  /** Lets a warm tier run faster on its worker while all others are idle, where memory allows. Resolves to whether it does now and did not before. Absent: an engine that has no others. */
  widen?(placement: Placement): Promise<boolean>;
  /** Yields the text a patch at a time; returns the result. Aborting ends compute within a millisecond and a run. */
  generate(placement: Placement, options: GenerateOptions, signal: AbortSignal): AsyncGenerator<Piece, GenerateResult, void>;
  close(): Promise<void>;
}
