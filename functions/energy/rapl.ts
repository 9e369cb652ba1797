/**
 * What a busy core takes, by the processor's own counters (RAPL, which Linux shows in `powercap`, AMD's too; since 2020 to root only).
 * They count a whole package, whoever uses it. So what the packages took in a second is shared out by the time that cores were
 * busy, idle power and other programs' work included: each core-second of ours costs what a core-second of anybody cost.
 *
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Power } from './energy.js';

interface Package {
  readonly file: string;
  /** Where its counter begins anew. */
  readonly rangeUj: number;
  countUj: number;
}

/** A second in which the machine slept would charge its idle power to the few milliseconds that it worked. */
const LEAST_BUSY_CORES = 0.5;

export class Rapl {
  readonly #packages: readonly Package[];
  readonly #nowMs: () => number;
  readonly #busyMs: () => number;
  #at: { readonly ms: number; readonly busyMs: number };
  #wattsPerCore: number | undefined;

  private constructor(packages: readonly Package[], nowMs: () => number, busyMs: () => number) {
    this.#packages = packages;
    this.#nowMs = nowMs;
    this.#busyMs = busyMs;
    this.#at = { ms: nowMs(), busyMs: busyMs() };
  }

  /** Undefined: no such counters here, or not for this process. */
  static open(folder = '/sys/class/powercap', nowMs: () => number = () => performance.now(), busyMs: () => number = busyCoreMs): Rapl | undefined {
    try {
      const packages = readdirSync(folder)
        // Others are parts of these, or the whole board.
        .filter((name) => /^intel-rapl:\d+$/.test(name) && readText(folder, name, 'name').startsWith('package'))
        .map((name) => ({ file: join(folder, name, 'energy_uj'), rangeUj: Number(readText(folder, name, 'max_energy_range_uj')), countUj: Number(readText(folder, name, 'energy_uj')) }));
      return packages.length > 0 ? new Rapl(packages, nowMs, busyMs) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Undefined: not measured yet. */
  get power(): Power | undefined {
    return this.#wattsPerCore === undefined ? undefined : { wattsPerCore: this.#wattsPerCore, source: 'rapl' };
  }

  /** To be called about once a second. What cannot be read for once is not known until the next time. */
  sample(): void {
    let countsUj: number[];
    try {
      countsUj = this.#packages.map(readCount);
    } catch {
      this.#wattsPerCore = undefined;
      return;
    }
    const spentUj = this.#packages.reduce((sum, one, index) => sum + spentSince(one, countsUj[index]!), 0);
    const [before, now] = [this.#at, { ms: this.#nowMs(), busyMs: this.#busyMs() }];
    this.#at = now;
    const busyMs = now.busyMs - before.busyMs;
    if (busyMs >= LEAST_BUSY_CORES * (now.ms - before.ms) && spentUj > 0) this.#wattsPerCore = spentUj / 1_000 / busyMs;
  }
}

function readCount({ file }: Pick<Package, 'file'>): number {
  return Number(readFileSync(file, 'utf8'));
}

function spentSince(one: Package, countUj: number): number {
  const spentUj = countUj - one.countUj;
  one.countUj = countUj;
  return spentUj < 0 ? spentUj + one.rangeUj : spentUj;
}

function readText(...path: readonly string[]): string {
  return readFileSync(join(...path), 'utf8').trim();
}

/** Of all cores, since the machine started. */
function busyCoreMs(): number {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0);
}
