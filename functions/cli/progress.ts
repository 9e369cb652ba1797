/** How much of some tiers has been moved, as a bar on standard error where that is a terminal. */
import type { Progress } from '../registry/pull.js';
import type { SignedManifest } from '../registry/read-manifest.js';

const WIDTH = 30;

export function progressBar(tiers: readonly SignedManifest[]): Progress {
  if (!process.stderr.isTTY) return () => undefined;
  const totals = new Map(tiers.map(({ manifest }) => [manifest.id, manifest.files.reduce((sum, { bytes }) => sum + bytes, 0)]));
  const moved = new Map<string, number>();
  let shown = '';
  return (tier, bytes) => {
    const total = totals.get(tier)!;
    const done = (moved.get(tier) ?? 0) + bytes;
    moved.set(tier, done);
    const line = bar(tier, done, total);
    // A line for each chunk of 64 kB would cost more than the chunk.
    if (line !== shown) process.stderr.write(`\r${line}${done >= total ? '\n' : ''}`);
    shown = line;
  };
}

function bar(tier: string, done: number, total: number): string {
  const share = done / total;
  return `${tier.padEnd(12)} [${'#'.repeat(Math.round(share * WIDTH)).padEnd(WIDTH)}] ${megabytes(done)} of ${megabytes(total)}`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
