/** The figures of a load, to be read. */
import type { MemorySample } from '../load/memory.js';
import type { Run } from './router.js';
import { type AgainstOracle, GRACE_MS, type RouterFigures } from './router-figures.js';
import { table } from './table.js';

export function routerSummary({ load, trace, figures, memory }: Pick<Run, 'load' | 'trace' | 'figures' | 'memory'>): string {
  const rows = figures.tiers.map((tier) => [
    tier.tier,
    String(tier.requests),
    percent(tier.errorP50),
    percent(tier.errorP95),
    percent(tier.bias),
    percent(tier.computeErrorP50),
    percent(tier.computeErrorP95),
    percent(tier.overPredicted),
  ]);
  const head = ['tier', 'answers', 'error p50', 'error p95', 'expected/actual', 'compute error p50', 'compute error p95', 'over p95 promise'];
  return [
    `${trace.scenario} at a load of ${load.toFixed(2)}, ${trace.durationMs / 1_000} s, ${figures.offered} requests: ${entries(figures.statuses)}`,
    `of the admitted, within budget + ${GRACE_MS} ms      ${percent(figures.withinBudget)}; without any text in time ${percent(figures.withoutText)}`,
    `of the feasible, answered in budget      ${percent(figures.servedInBudget)}`,
    `of the answered, cut by the deadline     ${percent(figures.cutByDeadline)}`,
    `against an idle server's oracle          ${oracleLine(figures.againstIdleOracle)}`,
    `against an oracle of this capacity       ${oracleLine(figures.againstCapacityOracle)}`,
    `shed at once                             ${percent(figures.shed)}, answered within ${ms(figures.shedAnswerP50Ms)} at p50, ${ms(figures.shedAnswerP99Ms)} at p99`,
    `goodput                                  ${figures.goodputBytesPerSecond.toFixed(0)} bytes/s, ${figures.goodputRequestsPerSecond.toFixed(1)} requests/s`,
    `resident                                 ${memorySummary(memory)}`,
    `reasons                                  ${entries(figures.reasons)}`,
    '',
    table(head, rows),
  ].join('\n');
}

/** Goodput as the load rises. */
export function ladderSummary(runs: readonly Pick<Run, 'load' | 'figures' | 'memory'>[]): string {
  const peak = Math.max(...runs.map(({ figures }) => figures.goodputBytesPerSecond));
  const rows = runs.map(({ load, figures, memory }) => [
    load.toFixed(1),
    figures.goodputBytesPerSecond.toFixed(0),
    percent(figures.goodputBytesPerSecond / peak),
    figures.goodputRequestsPerSecond.toFixed(1),
    percent(figures.shed),
    figures.shedAnswerP99Ms.toFixed(1),
    (memory.at(-1)?.residentMiB ?? Number.NaN).toFixed(0),
  ]);
  return table(['load', 'bytes/s in time', 'of the peak', 'requests/s in time', 'shed', 'shed p99, ms', 'resident, MiB'], rows);
}

export function plotTitle({ load, trace, figures }: { load: number; trace: { scenario: string }; figures: RouterFigures }): string {
  const { withinBudget, againstCapacityOracle, offered } = figures;
  return `${trace.scenario}, load ${load.toFixed(2)}, ${offered} requests: ${percent(withinBudget)} within budget, ${percent(againstCapacityOracle.onItsTier)} on the oracle's tier`;
}

function memorySummary(samples: readonly MemorySample[]): string {
  const mib = samples.map(({ residentMiB }) => residentMiB);
  return `${(mib[0] ?? Number.NaN).toFixed(0)} MiB at first, at most ${Math.max(...mib).toFixed(0)}, ${(mib.at(-1) ?? Number.NaN).toFixed(0)} at last`;
}

function oracleLine({ onItsTier, regret, stepsShare }: AgainstOracle): string {
  return `${percent(onItsTier)} on its tier, ${regret.toFixed(2)} steps below it on average; ${percent(stepsShare)} of its steps in all`;
}

function entries(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function ms(value: number): string {
  return Number.isNaN(value) ? '-' : `${value.toFixed(1)} ms`;
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(share * 100).toFixed(1)}%`;
}
