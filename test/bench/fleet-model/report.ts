/** The model's answers, to be read. */
import { type LineChart, lineCharts } from '../line-chart.js';
import { table } from '../table.js';
import type { FleetFigures } from './simulate.js';
import { studyGaps, studyHerds, type StudySettings, studySizes, studyTargets } from './studies.js';

export interface ModelOptions extends StudySettings {
  readonly usdPerVcpuHour: number;
  /** The largest fleet that is tried. */
  readonly most: number;
}

const SIZES = [10, 100, 1_000, 10_000];
const TARGETS = [0.25, 0.5, 1, 1.5, 2, 3, 4];
const HERD_TARGET = 1;
const GAPS_S = [10, 30, 60, 120, 300, 900];

export function fleetModel(options: ModelOptions): { readonly tables: string; readonly svg: string } {
  const sizes = SIZES.filter((size) => size <= options.most);
  const cost = (figures: FleetFigures) => (options.usdPerVcpuHour * figures.replicaSeconds) / 3_600 / (figures.bytes / 1e6);
  const money = (figures: FleetFigures) => cost(figures).toFixed(3);
  const common = (figures: FleetFigures) => [percent(figures.inBudget), percent(figures.shed), percent(figures.byTier.at(-1)!), percent(figures.utilisation), money(figures)];
  const commonHead = ['in budget', 'shed', 'on the largest tier', 'busy', 'USD per 1e6 bytes'];

  const balanced = studySizes(options, sizes);
  const targets = studyTargets(options, TARGETS);
  const herds = studyHerds(options, HERD_TARGET, sizes);
  const gaps = studyGaps(options, GAPS_S);
  const tables = [
    'Fleets of one-core replicas at 0.7 of what they can do:',
    table(['replicas', 'balancers', 'agents', ...commonHead], balanced.map(({ of, figures }) => [String(of.replicas), String(of.balancers), of.agents ? 'yes' : 'no', ...common(figures)])),
    '\nAn autoscaler that aims at so many requests in flight for each replica, while the load doubles and falls again:',
    table(['target', 'replicas at most', ...commonHead], targets.map(({ of, figures }) => [String(of.target), String(figures.mostReplicas), ...common(figures)])),
    `\nThe same at a target of ${HERD_TARGET}, at sizes; models in the image, or from one store (${options.storeMs.toFixed(0)} ms a replica):`,
    table(['cores of load', 'models', 'replicas at most', ...commonHead], herds.map(({ of, figures }) => [String(of.cores), of.baked ? 'image' : 'store', String(figures.mostReplicas), ...common(figures)])),
    '\nNo replica while nobody asks:',
    table(
      ['seconds between requests', 'waited for a start', 'in budget', 'of one that always runs', 'USD per 1e6 bytes'],
      gaps.map(({ of: { gapS }, figures }) => {
        const always = figures.replicaSeconds / (figures.offered * gapS);
        return [String(gapS), percent(figures.waitedForStart), percent(figures.inBudget), percent(always), cost(figures).toFixed(1)];
      }),
    ),
  ].join('\n');

  const way = (balancers: number, agents: boolean) => ({
    name: `${balancers} balancer${balancers > 1 ? 's' : ''}, agents ${agents ? 'asked twice a second' : 'not asked'}`,
    points: balanced.filter(({ of }) => of.balancers === balancers && of.agents === agents).map(({ of, figures }) => [of.replicas, 100 * figures.inBudget] as const),
  });
  const charts: LineChart[] = [
    { title: 'Answered in budget, at a load of 0.7', across: 'replicas', upwards: '% of the feasible', range: [88, 100], lines: [way(1, false), way(1, true), way(8, false), way(8, true)] },
    {
      title: 'Quality and cost by autoscaling target',
      across: 'requests in flight for each replica',
      upwards: '%, and thousandths of a USD',
      range: [0, 120],
      lines: [
        { name: 'answered in budget, %', points: targets.map(({ of, figures }) => [of.target, 100 * figures.inBudget]) },
        { name: 'of them on the largest tier, %', points: targets.map(({ of, figures }) => [of.target, 100 * figures.byTier.at(-1)!]) },
        { name: 'cost of a million bytes, thousandths of a USD', points: targets.map(({ of, figures }) => [of.target, 1_000 * cost(figures)]) },
      ],
    },
    {
      title: 'The load doubles: what is left of quality',
      across: 'cores of load',
      upwards: '% of the answers on the largest tier',
      range: [0, 80],
      lines: [true, false].map((baked) => ({
        name: baked ? 'models in the image' : 'models from one store',
        points: herds.filter(({ of }) => of.baked === baked).map(({ of, figures }) => [of.cores, 100 * figures.byTier.at(-1)!]),
      })),
    },
  ];
  return { tables, svg: lineCharts(charts) };
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(100 * share).toFixed(1)}%`;
}
