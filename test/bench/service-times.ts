/**
 * What each tier takes on an idle server and beside others, measured from outside: what the oracles know. Fitted as
 * ms = a + b x prompt patches + c x text bytes.
 */
import { countPromptPatches } from '../../functions/engine/patch.js';
import { keptPatches } from '../../functions/engine/window.js';
import type { Client } from '../load/client.js';
import { promptOf } from '../load/trace.js';
import { median, quantile } from './statistics.js';

export interface ServiceTime {
  readonly tier: string;
  /** [ms, ms per prompt patch, ms per byte of text] */
  readonly coefficients: readonly [number, number, number];
  readonly contextPatches: number;
  readonly bytesPerPatch: number;
  /** How much slower when all cores compute as many texts. */
  readonly sharing: number;
  /** By how much one typical text of twenty is off what the others of its length took, alone on the server: no forecast foresees that. */
  readonly scatterP95: number;
}

/** What the time depends on. */
export interface Work {
  readonly promptPatches: number;
  readonly maxTokens: number;
}

const GRID = [
  { promptBytes: 20, maxTokens: 8 },
  { promptBytes: 20, maxTokens: 256 },
  { promptBytes: 300, maxTokens: 64 },
  { promptBytes: 2_000, maxTokens: 8 },
  { promptBytes: 2_000, maxTokens: 128 },
];
const TYPICAL = { promptBytes: 600, maxTokens: 64 };
const REPEATS = 3;
const ROUNDS_TOGETHER = 8;
const ROUNDS_ALONE = 40;
/** Nothing is cut short, and a cold tier has time to load. */
const BUDGET_MS = 60_000;

export interface MeasuredTier {
  readonly id: string;
  readonly contextPatches: number;
  readonly bytesPerPatch: number;
}

export async function measureServiceTime(client: Client, { id: tier, contextPatches, bytesPerPatch }: MeasuredTier, cores: number): Promise<ServiceTime> {
  let sent = 0;
  const answer = async (shape: { promptBytes: number; maxTokens: number }) => {
    const { promptBytes, maxTokens } = shape;
    const prompt = promptOf(sent++, { promptBytes });
    const { status, latencyMs, completionBytes } = await client.send({ model: tier, prompt, maxTokens, budgetMs: BUDGET_MS });
    if (status !== 200) throw new Error(`${tier} answered ${status} on an idle server`);
    return { features: [1, promptPatchesOf(prompt, contextPatches), completionBytes], ms: latencyMs };
  };
  const together = () => Promise.all(Array.from({ length: cores }, () => answer(TYPICAL)));
  // The first of all load it on every worker, and settle.
  for (let round = 0; round < 2; round += 1) await together();
  const rows: Row[] = [];
  for (let repeat = 0; repeat < REPEATS; repeat += 1) for (const shape of GRID) rows.push(await answer(shape));
  const coefficients = leastSquares(rows);
  const alone = ({ features: [, promptPatches = 0, textBytes = 0] }: Row) => coefficients[0] + coefficients[1] * promptPatches + coefficients[2] * textBytes;
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS_ALONE; round += 1) {
    const row = await answer(TYPICAL);
    ratios.push(row.ms / alone(row));
  }
  const usual = median(ratios);
  const scatterP95 = quantile(ratios.map((ratio) => Math.abs(ratio / usual - 1)), 0.95);
  const besides: Row[] = [];
  for (let round = 0; round < ROUNDS_TOGETHER; round += 1) besides.push(...(await together()));
  const sharing = Math.max(1, median(besides.map((row) => row.ms / alone(row))));
  return { tier, coefficients, contextPatches, bytesPerPatch, sharing, scatterP95 };
}

/** As many as the engine reads: the newest, where the context does not hold them all. */
export function promptPatchesOf(prompt: string, contextPatches: number): number {
  return keptPatches(countPromptPatches(new TextEncoder().encode(prompt)), contextPatches);
}

export function serviceMs(time: Pick<ServiceTime, 'coefficients' | 'contextPatches' | 'bytesPerPatch'>, { promptPatches, maxTokens }: Work): number {
  const [fixed, perPromptPatch, perTextByte] = time.coefficients;
  // A text that outgrows the context reads half of it again.
  const slides = promptPatches + maxTokens / time.bytesPerPatch > time.contextPatches;
  const readPatches = promptPatches + (slides ? keptPatches(time.contextPatches + 1, time.contextPatches) : 0);
  return fixed + perPromptPatch * readPatches + perTextByte * maxTokens;
}

interface Row {
  readonly features: number[];
  readonly ms: number;
}

/** Relative residuals, so that short requests count as much as long ones: rows are divided by their own ms. */
function leastSquares(rows: readonly Row[]): [number, number, number] {
  const normal = Array.from({ length: 3 }, () => [0, 0, 0, 0]);
  for (const { features, ms } of rows) {
    const scaled = [...features.map((feature) => feature / ms), 1];
    for (let i = 0; i < 3; i += 1) for (let j = 0; j < 4; j += 1) normal[i]![j]! += scaled[i]! * scaled[j]!;
  }
  return solve(normal);
}

/** Gaussian elimination of a 3 x 4 augmented matrix with pivoting. */
function solve(matrix: number[][]): [number, number, number] {
  for (let column = 0; column < 3; column += 1) {
    const pivot = [0, 1, 2].slice(column).toSorted((a, b) => Math.abs(matrix[b]![column]!) - Math.abs(matrix[a]![column]!))[0]!;
    [matrix[column], matrix[pivot]] = [matrix[pivot]!, matrix[column]!];
    for (let row = 0; row < 3; row += 1) {
      if (row === column) continue;
      const factor = matrix[row]![column]! / matrix[column]![column]!;
      for (let k = column; k < 4; k += 1) matrix[row]![k]! -= factor * matrix[column]![k]!;
    }
  }
  return [0, 1, 2].map((row) => matrix[row]![3]! / matrix[row]![row]!) as [number, number, number];
}
