/** Every request as a dot: its budget across, how long its answer took upwards, its tier as colour. Below the line is in time. */
import type { Replayed } from './router-figures.js';

const WIDTH = 760;
const HEIGHT = 480;
const MARGIN = { left: 60, right: 150, top: 40, bottom: 50 };
const BUDGET_MS = [25, 6_000] as const;
const LATENCY_MS = [1, 6_000] as const;
const TICKS_MS = [1, 3, 10, 30, 100, 300, 1_000, 3_000];
const COLOURS = ['#2f7ed8', '#e67e22', '#27ae60', '#8e44ad', '#7f8c8d'];
const REFUSED = '#c0392b';

export function routerPlot(replayed: readonly Pick<Replayed, 'request' | 'answer'>[], tiers: readonly string[], title: string): string {
  const colour = (tier: string | undefined) => COLOURS[tiers.indexOf(tier ?? '') % COLOURS.length] ?? REFUSED;
  const dots = replayed.map(({ request, answer }) =>
    answer.status === 200
      ? `<circle cx="${x(request.budgetMs)}" cy="${y(answer.latencyMs)}" r="2.5" fill="${colour(answer.report?.tier)}" fill-opacity="0.6"/>`
      : `<text x="${x(request.budgetMs)}" y="${HEIGHT - MARGIN.bottom - 4}" class="mark" fill="${REFUSED}">×</text>`,
  );
  const legend = [...tiers.map((tier) => ({ name: tier, fill: colour(tier) })), { name: 'refused (×)', fill: REFUSED }].map(
    ({ name, fill }, row) => `<text x="${WIDTH - MARGIN.right + 15}" y="${MARGIN.top + 20 * row + 12}" fill="${fill}">${name}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    '<style>.axis{stroke:#bbb}.grid{stroke:#eee}.mark{text-anchor:middle;font-size:10px}.tick{fill:#555}</style>',
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${MARGIN.left}" y="24" font-size="14">${title}</text>`,
    ...TICKS_MS.filter((ms) => ms >= BUDGET_MS[0]).map((ms) => tick(x(ms), undefined, ms)),
    ...TICKS_MS.map((ms) => tick(undefined, y(ms), ms)),
    `<line x1="${x(BUDGET_MS[0])}" y1="${y(BUDGET_MS[0])}" x2="${x(BUDGET_MS[1])}" y2="${y(BUDGET_MS[1])}" stroke="#333" stroke-dasharray="4 3"/>`,
    ...dots,
    ...legend,
    `<text x="${(MARGIN.left + WIDTH - MARGIN.right) / 2}" y="${HEIGHT - 12}" text-anchor="middle">budget, ms</text>`,
    `<text transform="translate(16 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">answered after, ms</text>`,
    '</svg>\n',
  ].join('\n');
}

function x(ms: number): string {
  return position(ms, BUDGET_MS, MARGIN.left, WIDTH - MARGIN.right);
}

function y(ms: number): string {
  return position(ms, LATENCY_MS, HEIGHT - MARGIN.bottom, MARGIN.top);
}

/** Logarithmic. */
function position(ms: number, [least, most]: readonly [number, number], from: number, to: number): string {
  const share = Math.log(Math.min(most, Math.max(least, ms)) / least) / Math.log(most / least);
  return (from + share * (to - from)).toFixed(1);
}

function tick(across: string | undefined, upwards: string | undefined, ms: number): string {
  const [left, right, top, bottom] = [MARGIN.left, WIDTH - MARGIN.right, MARGIN.top, HEIGHT - MARGIN.bottom];
  return across !== undefined
    ? `<line x1="${across}" y1="${top}" x2="${across}" y2="${bottom}" class="grid"/><text x="${across}" y="${bottom + 16}" class="tick" text-anchor="middle">${ms}</text>`
    : `<line x1="${left}" y1="${upwards}" x2="${right}" y2="${upwards}" class="grid"/><text x="${left - 6}" y="${upwards}" class="tick" text-anchor="end" dominant-baseline="middle">${ms}</text>`;
}
