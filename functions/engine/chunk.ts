/**
 * How many patches one prefill run reads: few enough that a long prompt does not keep a tighter request waiting for long, enough
 * that a run's fixed cost does not matter. It depends on the model alone, never on measured speed: quantised kernels may round a
 * row differently in runs of another length, and a seed must give the same text on a busy machine.
 *
 * @module
 */

/** Multiply-adds of one run, per trunk matrix element: 16 patches of 100M take about 25 ms, 64 of 10M about 7 (Xeon, one thread). */
const RUN_BUDGET = 1.2e8;
const FEWEST = 8;
const MOST = 64;

/** A power of two. */
export function chunkPatches({ layers, width }: { readonly layers: number; readonly width: number }): number {
  const affordable = 2 ** Math.floor(Math.log2(RUN_BUDGET / (layers * width * width)));
  return Math.min(MOST, Math.max(FEWEST, affordable));
}
