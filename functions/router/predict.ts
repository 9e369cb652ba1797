/**
 * The latency model: what a request costs on a tier and a worker. Pure; the router holds the current model and replaces it with
 * each observation.
 *
 *     work = (prefill(prompt patches) + score(patches scored) + decode(patches out, context)) x drift(tier, worker, sharing) + between(patches out)
 *
 * `prefill` includes the first patch of text, because the run that ends the prompt also decodes it; `decode` is the patches after.
 * `score` is what is added to the reading of a prompt whose bytes are scored: they are decoded, a row for each patch.
 * `between` is what a worker spends from run to run: its event loop, the messages to the main thread.
 */
import type { GenerateResult, Placement } from '../engine/types.js';
import { chunkPatches } from '../engine/chunk.js';
import { patchesToScore } from '../engine/prompt-score.js';
import { keptPatches } from '../engine/window.js';
import type { Manifest } from '../schema/manifest.js';
import { type BatchCost, batchFactor, learnBatch, UNBATCHED } from './batch.js';
import { type Caution, learnCaution, NEUTRAL } from './caution.js';
import { type Cost, costMs, guess, learn, type Pair } from './cost.js';
import { type Drift, driftFactor, learnDrift, noDrift } from './drift.js';
import { bytesInWords, learnLength, type LengthClass, type LengthModel, lengthPrior, lengthQuantile, patchesFor } from './length.js';
import { quantile, type Recent, recentFrom, remember } from './recent.js';

export interface LatencyModel {
  readonly tiers: Readonly<Record<string, TierModel>>;
  readonly drift: Drift;
  /** [one text, its patches]. */
  readonly between: Cost;
  /** Milliseconds of an admitted request spent outside the engine. */
  readonly overheadMs: Recent;
}

export interface TierModel {
  /** [one prompt, its patches]. */
  readonly prefill: Cost;
  /** Milliseconds that scoring what follows a patch adds to reading it. */
  readonly scoreMs: number;
  /** [patches after the first, sum of their contexts in patches]. */
  readonly decode: Cost;
  /** Of decode runs that are shared. */
  readonly batch: BatchCost;
  /** Texts in one of them, at most. */
  readonly mostRows: number;
  readonly loadMs: number;
  readonly contextPatches: number;
  /** False while the costs are the manifest's, measured on another machine. */
  readonly measured: boolean;
  /** Measured over predicted compute of recent texts, given how many bytes they turned out to have. */
  readonly ratios: Recent;
  /** Of the whole time's promise. */
  readonly caution: Caution;
  readonly lengths: Readonly<Record<LengthClass, LengthModel>>;
}

/** The text a forecast is for. */
export interface Workload {
  /** Patches read of the prompt: what is left of it in the tier's context. */
  readonly promptPatches: number;
  /** Of these, such as need not be read again because a prompt before began alike; none if absent. */
  readonly cachedPatches?: number;
  /** Patches after which it is scored; none if absent. */
  readonly scoredPatches?: number;
  /** Texts like it that decode side by side, itself among them; 1 if absent. */
  readonly rows?: number;
  /** Patches of text that have been decoded already; none if absent. */
  readonly decodedPatches?: number;
  /** Bytes of text still to be written, at most. */
  readonly maxBytes: number;
  /** Likewise, if they are bounded. */
  readonly maxWords?: number;
  /** It ends where the context does, rather than slide it. */
  readonly endsWithContext?: boolean;
  readonly lengthClass: LengthClass;
}

export interface Compute {
  readonly plannedBytes: number;
  /** Of the prompt, in all its runs. */
  readonly readPatches: number;
  /** Expected milliseconds, what lies between runs included; of the planned text. */
  readonly prefillMs: number;
  /** Of all that decode side by side. */
  readonly decodeMs: number;
  /** The same of a text as long as most: half of all are shorter, where texts end by themselves. */
  readonly usualDecodeMs: number;
  /** Of one further patch at the end of the prompt. */
  readonly stepMs: number;
}

const P95 = 0.95;
/** Attention's share of a decode step for each patch of context: doubles a step at 2,000 patches (11 -> 23 ms from 128 to 1,000 at 30x576). */
const CONTEXT_SHARE = 5e-4;
/** What scoring a patch costs before it was measured, as a share of a decode step; see `pace.ts`. */
const SCORE_SHARE = 0.3;
const SCORE_LEAST_SHARE = 0.05;
const SCORE_MOST_CHANGE = 0.3;
/** Loads scatter with the page cache; one is trusted half. */
const LOAD_STEP = 0.5;
const PRIOR_RATIOS = [0.85, 0.9, 0.95, 0.97, 1, 1, 1.03, 1.06, 1.1, 1.15, 1.2, 1.25];
const PRIOR_OVERHEAD_MS = [0.2, 0.3, 0.4, 0.5, 0.5, 0.6, 0.8, 1, 2];
const PRIOR_BETWEEN_MS: Pair = [0.5, 0.05];

export function seedModel(manifests: readonly Manifest[], workers: number): LatencyModel {
  return {
    tiers: Object.fromEntries(manifests.map((manifest) => [manifest.id, seedTier(manifest)])),
    drift: noDrift(workers),
    between: guess(PRIOR_BETWEEN_MS, 1),
    overheadMs: recentFrom(PRIOR_OVERHEAD_MS),
  };
}

function seedTier({ latencySeed, context, trunk, bytesPerPatch: seedBytesPerPatch }: Manifest): TierModel {
  // A seed of zero would make every residual infinite.
  const stepMs = Math.max(latencySeed.decodePatchMs, 0.01);
  const prefillPatchMs = Math.max(latencySeed.prefillPatchMs, 0.001);
  const lengths = lengthPrior(seedBytesPerPatch);
  return {
    prefill: guess([stepMs, prefillPatchMs], 1),
    scoreMs: stepMs * SCORE_SHARE,
    decode: guess([stepMs, stepMs * CONTEXT_SHARE], 1),
    batch: UNBATCHED,
    mostRows: chunkPatches(trunk),
    loadMs: latencySeed.loadMs,
    contextPatches: context.patches,
    measured: false,
    ratios: recentFrom(PRIOR_RATIOS),
    caution: NEUTRAL,
    lengths: { plain: lengths, stop: lengths, chat: lengths, guided: lengths, infill: lengths },
  };
}

export function tierModel(model: LatencyModel, tier: string): TierModel {
  const found = model.tiers[tier];
  if (found === undefined) throw new RangeError(`the latency model knows no tier ${tier}`);
  return found;
}

/** @param othersBusy how many other workers compute meanwhile, on average. */
export function predictCompute(model: LatencyModel, { tier, worker }: Placement, work: Workload, othersBusy: number): Compute {
  const costs = tierModel(model, tier);
  const lengths = costs.lengths[work.lengthClass];
  const factor = driftFactor(model.drift, tier, worker, othersBusy);
  const [betweenTextsMs, betweenPatchesMs] = model.between.per;
  const pastPatches = contextAfter(work, costs) + (work.decodedPatches ?? 0);
  const rows = work.rows ?? 1;
  const shared = factor * batchFactor(costs.batch, rows);
  const decodeMs = (patches: number): number => {
    const counts = decodeCounts(costs, pastPatches, patches);
    return shared * costMs(costs.decode, counts) + rows * factor * slideMs(costs, pastPatches, patches) + counts[0] * betweenPatchesMs;
  };
  const roomPatches = work.endsWithContext === true ? Math.max(1, costs.contextPatches - pastPatches) : Infinity;
  // A word is a patch.
  const mostBytes = Math.min(work.maxBytes, bytesInWords(lengths, Math.min(work.maxWords ?? Infinity, roomPatches)));
  const plannedBytes = lengthQuantile(lengths, mostBytes, P95);
  return {
    plannedBytes,
    readPatches: prefillCounts(costs, work)[1],
    prefillMs: factor * (costMs(costs.prefill, prefillCounts(costs, work)) + scoringMs(costs, work)) + betweenTextsMs + betweenPatchesMs,
    decodeMs: decodeMs(patchesFor(lengths, plannedBytes)),
    usualDecodeMs: decodeMs(patchesFor(lengths, lengthQuantile(lengths, mostBytes, 0.5))),
    stepMs: shared * costMs(costs.decode, decodeCounts(costs, pastPatches, 2)) + betweenPatchesMs,
  };
}

/** The p95 of a tier's compute is its expectation times this. */
export function margin(model: LatencyModel, tier: string): number {
  return quantile(tierModel(model, tier).ratios, P95);
}

export function caution(model: LatencyModel, tier: string): Caution {
  return tierModel(model, tier).caution;
}

/** @param broken whether an answer took longer than the p95 it was promised. */
export function learnPromise(model: LatencyModel, tier: string, broken: boolean): LatencyModel {
  const before = tierModel(model, tier);
  return { ...model, tiers: { ...model.tiers, [tier]: { ...before, caution: learnCaution(before.caution, broken) } } };
}

type PromptWork = Pick<Workload, 'promptPatches' | 'cachedPatches' | 'scoredPatches'>;

/** Whoever says how long a prompt is, plan or engine, has cut it to the context by `keptPatches`; one that is scored is read in windows. */
function prefillCounts({ contextPatches }: TierModel, { promptPatches, cachedPatches = 0, scoredPatches = 0 }: PromptWork): Pair {
  return [1, scoredPatches > 0 ? patchesToScore(scoredPatches, contextPatches) : promptPatches - cachedPatches];
}

function scoringMs({ scoreMs }: TierModel, { scoredPatches = 0 }: PromptWork): number {
  return scoredPatches * scoreMs;
}

/** What a text's first patch may look back on. */
function contextAfter({ promptPatches, scoredPatches = 0 }: PromptWork, { contextPatches }: TierModel): number {
  return scoredPatches > 0 ? Math.min(scoredPatches, contextPatches) : promptPatches;
}

/** A text that outgrows the context reads what is kept of it again. */
function slideMs({ prefill, contextPatches }: TierModel, pastPatches: number, patches: number): number {
  const overflow = pastPatches + Math.max(0, patches - 1) - contextPatches;
  if (overflow <= 0) return 0;
  const kept = keptPatches(contextPatches + 1, contextPatches);
  return Math.ceil(overflow / (contextPatches + 1 - kept)) * kept * prefill.per[1];
}

/** The first patch is the prefill's; the k-th after it sees what came before and k patches. */
function decodeCounts(tier: TierModel, pastPatches: number, patches: number): Pair {
  const steps = Math.max(0, patches - 1);
  const meanContext = Math.min(tier.contextPatches, pastPatches + (steps + 1) / 2);
  return [steps, steps * meanContext];
}

export interface Observation {
  readonly placement: Placement;
  readonly lengthClass: LengthClass;
  /** Mean number of other workers that computed meanwhile. */
  readonly othersBusy: number;
  readonly result: GenerateResult;
}

/** Learns from one generation that ended by itself, at its length or at its deadline. */
export function learnCompute(model: LatencyModel, observation: Observation): LatencyModel {
  const { placement, lengthClass, othersBusy, result } = observation;
  const { tier, worker } = placement;
  const before = tierModel(model, tier);
  // Forecasts are for a text alone: what others in the same runs add is not its cost.
  const { prefillMs, decodeMs: sharedMs, decodeAloneMs: decodeMs } = result.timings;
  const measuredMs = prefillMs + decodeMs;
  if (result.scoredPatches !== undefined) return learnScoring(model, observation, result.scoredPatches);
  if (!(measuredMs > 0) || result.decodedPatches === 0) return model;

  const prefillDone = prefillCounts(before, result);
  const decodeDone = decodeCounts(before, result.promptPatches, result.decodedPatches);
  const slidesMs = slideMs(before, result.promptPatches, result.decodedPatches);
  const learntMs = costMs(before.prefill, prefillDone) + costMs(before.decode, decodeDone) + slidesMs;
  if (!before.measured) return firstMeasurement(model, observation, measuredMs / learntMs / driftFactor(model.drift, tier, worker, othersBusy));

  const drift = learnDrift(model.drift, tier, worker, othersBusy, measuredMs / learntMs);
  const factor = driftFactor(drift, tier, worker, othersBusy);
  const lengths = before.lengths[lengthClass];
  const expectedDecode = decodeCounts(before, result.promptPatches, patchesFor(lengths, result.completionBytes));
  const foreseenMs =
    driftFactor(model.drift, tier, worker, othersBusy) * (costMs(before.prefill, prefillDone) + costMs(before.decode, expectedDecode) + slidesMs);
  const text = {
    bytes: result.completionBytes,
    patches: result.decodedPatches,
    endedByItself: result.stopCause === 'eod' || result.stopCause === 'stop',
  };
  const after: TierModel = {
    ...before,
    prefill: learn(before.prefill, prefillDone, prefillMs / factor),
    decode: learn(before.decode, decodeDone, decodeMs / factor - slidesMs),
    batch: learnBatch(before.batch, result.meanBatch, sharedMs / decodeMs),
    ratios: remember(before.ratios, measuredMs / foreseenMs),
    lengths: { ...before.lengths, [lengthClass]: learnLength(lengths, text) },
  };
  return { ...model, drift, tiers: { ...model.tiers, [tier]: after } };
}

/**
 * The first measurement of a tier here replaces the manifest's level, and tells the level of the tiers still unmeasured: the seeds
 * come from one machine, so what holds for one tier's speed here against there holds roughly for all.
 */
function firstMeasurement(model: LatencyModel, { placement: { tier } }: Observation, ratio: number): LatencyModel {
  const tiers = Object.entries(model.tiers).map(([id, costs]) => {
    if (costs.measured) return [id, costs] as const;
    const spread = id === tier ? 0.5 : 1;
    return [id, { ...costs, prefill: scaled(costs.prefill, ratio, spread), scoreMs: costs.scoreMs * ratio, decode: scaled(costs.decode, ratio, spread), measured: id === tier }] as const;
  });
  return { ...model, tiers: Object.fromEntries(tiers) };
}

function scaled(cost: Cost, ratio: number, spread: number): Cost {
  return guess([cost.per[0] * ratio, cost.per[1] * ratio], spread);
}

/** What a prompt took that was scored says what scoring costs: what reading does is known from all others, and so is the machine's drift. */
function learnScoring(model: LatencyModel, { placement: { tier, worker }, othersBusy, result }: Observation, scoredPatches: number): LatencyModel {
  const before = tierModel(model, tier);
  const isWhole = result.stopCause !== 'deadline' || result.decodedPatches > 0;
  if (!before.measured || !isWhole || scoredPatches === 0) return model;
  const factor = driftFactor(model.drift, tier, worker, othersBusy);
  const readMs = costMs(before.prefill, prefillCounts(before, result));
  const measuredMs = (result.timings.prefillMs / factor - readMs) / scoredPatches;
  // One measurement may be a hiccup: it moves the price by no more than this. And scoring is never free.
  const change = Math.min(SCORE_MOST_CHANGE, Math.max(-SCORE_MOST_CHANGE, measuredMs / before.scoreMs - 1));
  const scoreMs = Math.max(SCORE_LEAST_SHARE * before.decode.per[0], before.scoreMs * (1 + change));
  return { ...model, tiers: { ...model.tiers, [tier]: { ...before, scoreMs } } };
}

/** It runs otherwise from now on: what was measured is a guess again. */
export function forgetLevel(model: LatencyModel, tier: string): LatencyModel {
  const { [tier]: _, ...tiers } = model.drift.tiers;
  return { ...model, drift: { ...model.drift, tiers }, tiers: { ...model.tiers, [tier]: { ...tierModel(model, tier), measured: false } } };
}

export function learnLoad(model: LatencyModel, tier: string, loadMs: number): LatencyModel {
  const before = tierModel(model, tier);
  return {
    ...model,
    tiers: { ...model.tiers, [tier]: { ...before, loadMs: before.loadMs + LOAD_STEP * (loadMs - before.loadMs) } },
  };
}

/** @param result of a text that had its worker to itself, so that what was not compute was not waiting for others either. */
export function learnBetween(model: LatencyModel, { decodedPatches, timings }: GenerateResult): LatencyModel {
  const { queueMs, prefillMs, decodeMs } = timings;
  // As much again as the compute itself is a client that reads slowly.
  if (decodedPatches === 0 || queueMs > prefillMs + decodeMs) return model;
  return { ...model, between: learn(model.between, [1, decodedPatches], queueMs) };
}

export function learnOverhead(model: LatencyModel, overheadMs: number): LatencyModel {
  return { ...model, overheadMs: remember(model.overheadMs, overheadMs) };
}

export function overhead(model: LatencyModel): { readonly expectedMs: number; readonly p95Ms: number } {
  return { expectedMs: quantile(model.overheadMs, 0.5), p95Ms: quantile(model.overheadMs, P95) };
}
