/** The session's latencies, stacked by tier, in bins of even factors. */
import { shownMs } from './budget.js';
import { svg } from './svg.js';

export interface Sample {
  readonly tier: string;
  readonly ms: number;
}

export interface Bin {
  readonly fromMs: number;
  readonly toMs: number;
  /** By tier, in the order given. */
  readonly counts: readonly number[];
}

const BINS_PER_DECADE = 8;

const binOf = (ms: number) => Math.floor(Math.log10(Math.max(ms, 0.1)) * BINS_PER_DECADE);
const edge = (bin: number) => 10 ** (bin / BINS_PER_DECADE);

/** From the fastest sample's bin to the slowest's; none of no samples. */
export function bins(samples: readonly Sample[], tiers: readonly string[]): Bin[] {
  const all = samples.map(({ ms }) => binOf(ms));
  const first = Math.min(...all);
  return Array.from({ length: samples.length === 0 ? 0 : Math.max(...all) - first + 1 }, (_, index) => ({
    fromMs: edge(first + index),
    toMs: edge(first + index + 1),
    counts: tiers.map((tier) => samples.filter((sample) => sample.tier === tier && binOf(sample.ms) === first + index).length),
  }));
}

const WIDTH = 720;
const HEIGHT = 130;
const FLOOR = 108;
const WIDEST_BAR = 46;

export function histogram(samples: readonly Sample[], tiers: readonly string[], colorOf: (tier: string) => string): SVGElement {
  const all = bins(samples, tiers);
  const most = Math.max(1, ...all.map(({ counts }) => counts.reduce((sum, count) => sum + count, 0)));
  const step = Math.min(WIDEST_BAR, WIDTH / Math.max(1, all.length));
  const bars = all.flatMap(({ fromMs, toMs, counts }, bin) => {
    let top = FLOOR;
    const stack = counts.map((count, index) => {
      const height = (count / most) * (FLOOR - 8);
      top -= height;
      const tier = tiers[index] as string;
      return svg('rect', { x: bin * step + 1, y: top, width: step - 2, height, fill: colorOf(tier), rx: 1 }, [
        svg('title', {}, [`${count} by ${tier} in ${shownMs(fromMs)} to ${shownMs(toMs)}`]),
      ]);
    });
    return [...stack, ...(bin % 2 === 0 ? [svg('text', { x: bin * step, y: FLOOR + 15 }, [shownMs(fromMs)])] : [])];
  });
  const empty = all.length === 0 ? [svg('text', { x: 0, y: FLOOR / 2 }, ['Latencies will stand here.'])] : [];
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: '100%', role: 'img', 'aria-label': `Latencies of ${samples.length} answers` }, [
    svg('line', { x1: 0, x2: WIDTH, y1: FLOOR + 0.5, y2: FLOOR + 0.5, stroke: 'var(--line)' }),
    ...bars,
    ...empty,
  ]);
}
