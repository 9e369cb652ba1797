/**
 * `bench replay`: a decision log asked again, under another policy. Each decision is made from what was known when it was made, so it
 * says what that policy would have wanted at that moment, not what would have become of a server that had always followed it: where the
 * cost comes near what the workers can do, everything would have been later and the policy would have seen less that fits.
 */
import { readFile } from 'node:fs/promises';
import { AUTO } from '../../functions/router/types.js';
import { choose } from '../../functions/router/choose.js';
import { policyNamed } from '../../functions/router/policy.js';
import { type DecisionRecord, type LogRecord, recordSchema } from '../../functions/schema/decision-log.js';
import { table } from './table.js';

type Logged = DecisionRecord['tiers'][number][number];

export interface ReplayFigures {
  readonly decisions: number;
  /** Decided otherwise: another tier, worker or outcome. */
  readonly changed: number;
  readonly was: PolicyFigures;
  readonly would: PolicyFigures;
}

export interface PolicyFigures {
  /** Admitted, by tier; refused, by kind. */
  readonly tiers: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  /** Of the admitted: the whole text fits the budget at the p95, as far as what was booked then goes. */
  readonly fitting: number;
  /** Expected compute of the admitted, and as a share of what the workers could do meanwhile. */
  readonly workMs: number;
  readonly utilisation: number;
}

interface Verdict {
  readonly outcome: string;
  readonly candidate: Logged | undefined;
}

/** @throws {RangeError} for a policy that there is not. */
export function replayFigures(log: readonly LogRecord[], policyName: string): ReplayFigures {
  const policy = policyNamed(policyName);
  if (policy === undefined) throw new RangeError(`there is no policy ${policyName}`);
  const decisions = log.filter((record): record is DecisionRecord => record.event === 'decision' && record.request.tier === AUTO);
  const was = decisions.map(asLogged);
  const would = decisions.map(({ tiers }): Verdict => {
    const choice = choose<Logged>(tiers, policy);
    return choice.kind === 'take' ? { outcome: 'admitted', candidate: choice.candidate } : { outcome: choice.kind, candidate: undefined };
  });
  return {
    decisions: decisions.length,
    changed: would.filter((verdict, index) => !isSame(verdict, was[index]!)).length,
    was: policyFigures(decisions, was),
    would: policyFigures(decisions, would),
  };
}

function asLogged({ outcome, chosen, tiers }: DecisionRecord): Verdict {
  return { outcome, candidate: tiers.flat().find(({ tier, worker }) => tier === chosen?.tier && worker === chosen.worker) };
}

function isSame(a: Verdict, b: Verdict): boolean {
  return a.outcome === b.outcome && a.candidate?.tier === b.candidate?.tier && a.candidate?.worker === b.candidate?.worker;
}

function policyFigures(decisions: readonly DecisionRecord[], verdicts: readonly Verdict[]): PolicyFigures {
  const admitted = verdicts.map(({ candidate }) => candidate).filter((candidate) => candidate !== undefined);
  const workMs = admitted.reduce((sum, candidate) => sum + candidate.workMs, 0);
  const spanMs = (decisions.at(-1)?.atMs ?? 0) - (decisions[0]?.atMs ?? 0);
  return {
    tiers: counted(admitted.map(({ tier }) => tier)),
    refused: counted(verdicts.filter(({ candidate }) => candidate === undefined).map(({ outcome }) => outcome)),
    fitting: admitted.filter(({ reach }) => reach.now === 'fits').length / admitted.length,
    workMs,
    utilisation: workMs / (spanMs * (decisions[0]?.workers.length ?? 1)),
  };
}

export async function readDecisionLog(path: string): Promise<LogRecord[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => recordSchema.parse(JSON.parse(line)));
}

export async function benchReplay(path: string, { policy }: { policy: string }): Promise<void> {
  const { decisions, changed, was, would } = replayFigures(await readDecisionLog(path), policy);
  const counts = Object.keys({ ...was.tiers, ...would.tiers, ...was.refused, ...would.refused }).toSorted();
  const row = (name: string, of: (figures: PolicyFigures) => string) => [name, of(was), of(would)];
  console.log(`${decisions} decisions, of which ${policy} would have made ${changed} otherwise`);
  console.log(
    table(
      ['', 'as logged', policy],
      [
        ...counts.map((name) => row(name, ({ tiers, refused }) => String(tiers[name] ?? refused[name] ?? 0))),
        row('whole text predicted in budget', ({ fitting }) => percent(fitting)),
        row('expected compute, ms', ({ workMs }) => workMs.toFixed(0)),
        row('of what the workers can do', ({ utilisation }) => percent(utilisation)),
      ],
    ),
  );
}

function counted(keys: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(share * 100).toFixed(1)}%`;
}
