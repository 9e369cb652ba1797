/**
 * What texts that share a run cost each other. A run of b rows takes 1 + slope x (b - 1) of what one row takes: weights are read once
 * whatever the rows, so the slope is well below 1 where reading them is most of the work.
 */
export interface BatchCost {
  readonly slope: number;
}

/** uint8 at 16 rows gains 2.5 to 4 times, int4 1.3 to 1.9 (DESIGN, section 3): a slope of 0.2 to 0.75. */
const PRIOR_SLOPE = 0.5;
const STEP = 0.1;
/** Fewer rows more than one, on average over a text, say more of noise than of rows. */
const LEAST_COMPANY = 0.2;

export const UNBATCHED: BatchCost = { slope: PRIOR_SLOPE };

/** Of a run with so many rows, relative to a run of one; rows may be a mean. */
export function batchFactor({ slope }: BatchCost, rows: number): number {
  return 1 + slope * Math.max(0, rows - 1);
}

/** @param ratio of what the runs took over what they would have taken for this text alone. */
export function learnBatch(cost: BatchCost, meanRows: number, ratio: number): BatchCost {
  if (!(meanRows >= 1 + LEAST_COMPANY && ratio > 0)) return cost;
  const seen = Math.min(1, Math.max(0, (ratio - 1) / (meanRows - 1)));
  return { slope: cost.slope + STEP * (seen - cost.slope) };
}
