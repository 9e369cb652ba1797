/**
 * Milliseconds of the machine's monotonic clock. All threads read the same one, and nobody sets it: unlike
 * `performance.timeOrigin`, which each thread takes from the wall clock when it starts.
 *
 * @module
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
