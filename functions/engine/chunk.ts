/**
 * How many patches one prefill run reads: few enough that a long prompt does not keep a tighter request waiting for long, enough
 * that a run's fixed cost does not matter. It depends on the model alone, never on measured speed: quantised kernels may round a
 * row differently in runs of another length, and a seed must give the same text on a busy machine.
 *
 * @module
 */

/**
 * Multiply-adds of one run, per trunk matrix element, so that a run stays below 20 ms: 8 patches of 100M take 14 ms (p99 19), 16 of
 * 50M 13 (p99 17 to 21; EPYC, one thread). Chunks of twice as many read a patch in a tenth to a fifth less time.
 */
const RUN_BUDGET = 6e7;
const FEWEST = 8;
/** Of the last chunk of a prompt nothing is reused: with 64 patches of 10M a prompt of 2 kB that was read before took 16 % of its first time. */
const MOST = 16;

/** A power of two. */
export function chunkPatches({ layers, width }: { readonly layers: number; readonly width: number }): number {
  const affordable = 2 ** Math.floor(Math.log2(RUN_BUDGET / (layers * width * width)));
  return Math.min(MOST, Math.max(FEWEST, affordable));
}
