import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EnergyMeter } from '../../functions/energy/energy.js';
import { Rapl } from '../../functions/energy/rapl.js';
import { RunTimes } from '../../functions/engine/run-times.js';

describe('the energy of texts', () => {
  const meter = new EnergyMeter(() => ({ wattsPerCore: 4, source: 'cpu_time' }));
  const text = (coreMs: number) => ({ timings: { queueMs: 900, loadMs: 900, prefillMs: 900, decodeMs: 900, decodeAloneMs: 900, coreMs, firstByteMs: 900 } });

  test("is their runs' time on all of their threads, and no waiting", () => {
    expect(meter.of([text(600), text(400)])).toEqual({ joules: 4, wattsPerCore: 4, source: 'cpu_time' });
  });

  test('of shared runs is shared out, so that all of them together cost what the runs did', () => {
    const times = Array.from({ length: 4 }, () => new RunTimes());
    for (const each of times) each.add({ texts: 1, ranMs: 100, threads: 1, aloneMs: 100 }, true);
    for (const each of times) each.add({ texts: 4, ranMs: 400, threads: 2, aloneMs: 150 }, false);
    expect(times.reduce((sum, { summary }) => sum + summary.coreMs, 0)).toBeCloseTo(4 * 100 + 2 * 400);
  });
});

describe("the processor's counters", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'stlm-powercap-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const zone = async (id: string, name: string, countUj: number) => {
    await mkdir(join(folder, id), { recursive: true });
    for (const [file, content] of Object.entries({ name, energy_uj: countUj, max_energy_range_uj: 1_000_000_000 })) await writeFile(join(folder, id, file), `${content}\n`);
  };
  /** A machine that one can let run: for so long, so many of its cores busy. */
  const machine = () => {
    const at = { ms: 0, busyMs: 0 };
    const rapl = Rapl.open(folder, () => at.ms, () => at.busyMs)!;
    const passes = (ms: number, busyCores: number) => {
      at.ms += ms;
      at.busyMs += ms * busyCores;
      rapl.sample();
      return rapl.power;
    };
    return { rapl, passes };
  };

  test('are shared out over all cores that were busy, of whatever program', async () => {
    await zone('intel-rapl:0', 'package-0', 500);
    await zone('intel-rapl:1', 'package-1', 0);
    const { rapl, passes } = machine();
    expect(rapl.power).toBeUndefined();
    await zone('intel-rapl:0', 'package-0', 500 + 30_000_000);
    await zone('intel-rapl:1', 'package-1', 10_000_000);
    expect(passes(1_000, 8)).toEqual({ wattsPerCore: 5, source: 'rapl' });
  });

  test('count no part of a package again, nor the board', async () => {
    await zone('intel-rapl:0', 'package-0', 0);
    await zone('intel-rapl:0:0', 'core', 0);
    await zone('intel-rapl:1', 'psys', 0);
    const { passes } = machine();
    for (const [id, name] of [['intel-rapl:0', 'package-0'], ['intel-rapl:0:0', 'core'], ['intel-rapl:1', 'psys']] as const) await zone(id, name, 12_000_000);
    expect(passes(1_000, 2)!.wattsPerCore).toBe(6);
  });

  test('may begin anew', async () => {
    await zone('intel-rapl:0', 'package-0', 999_000_000);
    const { passes } = machine();
    await zone('intel-rapl:0', 'package-0', 5_000_000);
    expect(passes(1_000, 1)!.wattsPerCore).toBe(6);
  });

  test('of an idle second charge nobody with what the machine takes asleep', async () => {
    await zone('intel-rapl:0', 'package-0', 0);
    const { passes } = machine();
    await zone('intel-rapl:0', 'package-0', 10_000_000);
    expect(passes(1_000, 2)!.wattsPerCore).toBe(5);
    await zone('intel-rapl:0', 'package-0', 14_000_000);
    expect(passes(1_000, 0.01)!.wattsPerCore).toBe(5);
  });

  test('that fail for once are unknown until the next time, and then charge for both', async () => {
    await zone('intel-rapl:0', 'package-0', 0);
    await zone('intel-rapl:1', 'package-1', 0);
    const { passes } = machine();
    const takes = async (countUj: number) => {
      for (const socket of [0, 1]) await zone(`intel-rapl:${socket}`, `package-${socket}`, countUj);
    };
    await takes(10_000_000);
    expect(passes(1_000, 4)!.wattsPerCore).toBe(5);
    await takes(30_000_000);
    await rm(join(folder, 'intel-rapl:1', 'energy_uj'));
    expect(passes(1_000, 4)).toBeUndefined();
    await takes(50_000_000);
    expect(passes(1_000, 4)!.wattsPerCore).toBe(10);
  });

  test('that are not there, or not for us, are none', async () => {
    expect(Rapl.open(join(folder, 'none'))).toBeUndefined();
    expect(Rapl.open(folder)).toBeUndefined();
    await mkdir(join(folder, 'intel-rapl:0', 'energy_uj'), { recursive: true });
    await writeFile(join(folder, 'intel-rapl:0', 'name'), 'package-0\n');
    expect(Rapl.open(folder)).toBeUndefined();
  });
});
