/** Where the time of an answer went, against what was promised: stages as bars, the prediction and the budget as marks. */
import type { Completion } from '../schema/completion.js';
import { shownMs } from './budget.js';
import { svg } from './svg.js';

type Report = Completion['stlm'];

const WIDTH = 1_000;
const BAR_TOP = 2;
const BAR_HEIGHT = 13;

export function timeline(report: Report, color: string): SVGElement {
  const { budget_ms: budgetMs, predicted_ms: predictedMs, actual_ms: actualMs } = report;
  // A budget far beyond what was needed would leave of the bars a hair's breadth.
  const shownBudget = budgetMs <= 4 * Math.max(actualMs, predictedMs);
  const spanMs = 1.02 * Math.max(actualMs, predictedMs, shownBudget ? budgetMs : 0);
  const x = (ms: number) => (ms / spanMs) * WIDTH;
  const stages = [
    ['queue', report.queue_ms, 'var(--queue)'],
    ['load', report.load_ms, 'var(--late)'],
    ['prefill', report.prefill_ms, 'var(--prefill)'],
    ['decode', report.decode_ms, color],
  ] as const;
  let atMs = Math.max(0, actualMs - stages.reduce((sum, [, ms]) => sum + ms, 0));
  const bars = stages.map(([name, ms, fill]) => {
    const bar = svg('rect', { x: x(atMs), y: BAR_TOP, width: Math.max(0, x(ms)), height: BAR_HEIGHT, fill, rx: 2 }, [
      svg('title', {}, [`${name} ${shownMs(ms)}`]),
    ]);
    atMs += ms;
    return bar;
  });
  const mark = (ms: number, label: string, stroke: string) => [
    svg('line', { x1: x(ms), x2: x(ms), y1: 0, y2: BAR_TOP + BAR_HEIGHT + 3, stroke, 'stroke-width': 2, 'vector-effect': 'non-scaling-stroke' }),
    svg('title', {}, [`${label} ${shownMs(ms)}`]),
  ];
  return svg('svg', { class: 'timeline', viewBox: `0 0 ${WIDTH} 20`, preserveAspectRatio: 'none', role: 'img', 'aria-label': caption(report) }, [
    svg('rect', { x: 0, y: BAR_TOP, width: WIDTH, height: BAR_HEIGHT, fill: 'var(--line)', opacity: 0.5, rx: 2 }),
    ...bars,
    svg('g', {}, mark(predictedMs, 'predicted at the p95', 'var(--ink)')),
    ...(shownBudget ? [svg('g', {}, mark(budgetMs, 'budget', 'var(--late)'))] : []),
  ]);
}

export function caption({ actual_ms: actualMs, predicted_ms: predictedMs, budget_ms: budgetMs }: Report): string {
  return `${shownMs(actualMs)} of ${shownMs(budgetMs)}, at most ${shownMs(predictedMs)} predicted`;
}
