/**
 * What each tier takes on an idle server, measured from outside: the oracle that the router's choices are held against. Fitted as
 * ms = a + b x prompt bytes + c x text bytes.
 */
import { type Client } from '../load/client.js';
import { englishText } from '../load/english.js';

export interface ServiceTime {
  readonly tier: string;
  /** [ms, ms per prompt byte, ms per byte of text] */
  readonly coefficients: readonly [number, number, number];
}

const GRID = [
  { promptBytes: 20, maxTokens: 8 },
  { promptBytes: 20, maxTokens: 256 },
  { promptBytes: 300, maxTokens: 64 },
  { promptBytes: 2_000, maxTokens: 8 },
  { promptBytes: 2_000, maxTokens: 128 },
];
const REPEATS = 3;
/** Nothing is cut short, and a cold tier has time to load. */
const BUDGET_MS = 60_000;

export async function measureServiceTime(client: Client, tier: string): Promise<ServiceTime> {
  const rows: { features: number[]; ms: number }[] = [];
  for (let repeat = -1; repeat < REPEATS; repeat += 1) {
    for (const { promptBytes, maxTokens } of GRID) {
      const prompt = englishText(promptBytes);
      const { status, latencyMs, completionBytes } = await client.send({ model: tier, prompt, maxTokens, budgetMs: BUDGET_MS, seed: repeat + 1 });
      if (status !== 200) throw new Error(`${tier} answered ${status} on an idle server`);
      // The first round loads and settles.
      if (repeat >= 0) rows.push({ features: [1, promptBytes, completionBytes], ms: latencyMs });
    }
  }
  return { tier, coefficients: leastSquares(rows) };
}

export function serviceMs({ coefficients: [fixed, perPromptByte, perTextByte] }: ServiceTime, promptBytes: number, textBytes: number): number {
  return fixed + perPromptByte * promptBytes + perTextByte * textBytes;
}

/** The largest tier that would have finished in time had it had the server to itself. */
export function largestFeasible(times: readonly ServiceTime[], request: { prompt: string; maxTokens: number; budgetMs: number }): string | undefined {
  return times.findLast((time) => serviceMs(time, request.prompt.length, request.maxTokens) <= request.budgetMs)?.tier;
}

/** Relative residuals, so that short requests count as much as long ones: rows are divided by their own ms. */
function leastSquares(rows: readonly { features: number[]; ms: number }[]): [number, number, number] {
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
