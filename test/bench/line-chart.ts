/** A small chart of lines over a logarithmic axis, to stand in an SVG beside others. */
export interface LineChart {
  readonly title: string;
  readonly across: string;
  readonly upwards: string;
  /** Lowest and highest value shown. */
  readonly range: readonly [number, number];
  readonly lines: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[];
}

const WIDTH = 420;
const HEIGHT = 320;
const MARGIN = { left: 56, right: 16, top: 36, bottom: 100 };
const COLOURS = ['#2f7ed8', '#e67e22', '#27ae60', '#8e44ad', '#7f8c8d'];
const STEPS = 4;

/** All in a row. */
export function lineCharts(charts: readonly LineChart[]): string {
  const placed = charts.map((chart, index) => `<g transform="translate(${index * WIDTH} 0)">${drawing(chart)}</g>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${charts.length * WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">`,
    '<style>.grid{stroke:#eee}.tick{fill:#555}polyline{fill:none;stroke-width:2}</style>',
    `<rect width="${charts.length * WIDTH}" height="${HEIGHT}" fill="white"/>`,
    ...placed,
    '</svg>\n',
  ].join('\n');
}

function drawing({ title, across, upwards, range: [least, most], lines }: LineChart): string {
  const values = [...new Set(lines.flatMap(({ points }) => points.map(([value]) => value)))].toSorted((a, b) => a - b);
  const [first, last] = [Math.log(values[0]!), Math.log(values.at(-1)!)];
  const [left, right, top, bottom] = [MARGIN.left, WIDTH - MARGIN.right, MARGIN.top, HEIGHT - MARGIN.bottom];
  const x = (value: number) => (left + ((Math.log(value) - first) / (last - first || 1)) * (right - left)).toFixed(1);
  const y = (value: number) => (bottom - ((Math.min(most, Math.max(least, value)) - least) / (most - least)) * (bottom - top)).toFixed(1);
  const levels = Array.from({ length: STEPS + 1 }, (_, step) => least + (step / STEPS) * (most - least));
  return [
    `<text x="${left}" y="20" font-size="13">${title}</text>`,
    ...levels.map((level) => `<line x1="${left}" x2="${right}" y1="${y(level)}" y2="${y(level)}" class="grid"/><text x="${left - 6}" y="${y(level)}" class="tick" text-anchor="end" dominant-baseline="middle">${Number(level.toPrecision(3))}</text>`),
    ...values.map((value) => `<text x="${x(value)}" y="${bottom + 16}" class="tick" text-anchor="middle">${value}</text>`),
    `<text x="${(left + right) / 2}" y="${bottom + 34}" text-anchor="middle">${across}</text>`,
    `<text transform="translate(14 ${(top + bottom) / 2}) rotate(-90)" text-anchor="middle">${upwards}</text>`,
    ...lines.flatMap(({ name, points }, index) => {
      const colour = COLOURS[index % COLOURS.length]!;
      const path = points.map(([value, level]) => `${x(value)},${y(level)}`).join(' ');
      return [`<polyline points="${path}" stroke="${colour}"/>`, `<text x="${left}" y="${bottom + 50 + 13 * index}" fill="${colour}">${name}</text>`];
    }),
  ].join('\n');
}
