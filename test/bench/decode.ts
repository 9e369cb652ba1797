/**
 * `bench decode`: every tier beside llama.cpp and transformers.js at the same number of parameters. A short round finds each system's
 * fastest setting; the fastest then run in turn, A B C A B C, so that a noisy moment does not fall on one of them alone.
 */
import { writeFile } from 'node:fs/promises';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { Registry } from '../../functions/registry/registry.js';
import type { Manifest } from '../../functions/schema/manifest.js';
import { measure, missingPackage } from './child.js';
import { type Entrant, entrantsFor, type System } from './entrants.js';
import { type Floor, floorLine, measureFloor } from './floor.js';
import { busyWarning, describeMachine } from './machine.js';
import { measureProfile, profileTable } from './profile.js';
import { median, spread, type Spread } from './statistics.js';
import type { Measurement, ProfileMeasurement } from './systems/protocol.js';
import { table } from './table.js';

export interface DecodeOptions {
  readonly artifacts: string;
  readonly folder: string;
  readonly tiers: readonly string[] | undefined;
  readonly threads: readonly number[];
  readonly repeats: number;
  readonly decodeBytes: number;
  readonly profile: boolean;
  readonly json: string | undefined;
}

/** A round this short ranks settings; it is not reported. */
const QUALIFYING_BYTES = 256;
const PACKAGES: Record<Exclude<System, 'stlm'>, string> = { 'node-llama-cpp': 'node-llama-cpp', 'transformers.js': '@huggingface/transformers' };

interface Standing {
  readonly entrant: Entrant;
  readonly coldLoadMs: Spread;
  readonly firstByteMs: Spread;
  readonly bytesPerSecond: Spread;
  readonly residentMiB: Spread;
  /** Ours only. */
  readonly patchMs: number | undefined;
}

export async function benchDecode(options: DecodeOptions): Promise<void> {
  const machine = describeMachine();
  const warning = busyWarning(machine);
  if (warning !== undefined) console.error(warning);
  const systems = availableSystems();
  const registry = await Registry.open(new FolderStore(options.artifacts), new ModelFileCache(options.folder));
  const wanted = registry.manifests.filter(({ id }) => options.tiers?.includes(id) ?? true);
  if (wanted.length === 0) throw new Error(`no such tier in ${options.artifacts}: ${options.tiers?.join(', ') ?? 'it holds none'}`);

  const tiers = [];
  for (const manifest of wanted) {
    const entrants = await entrantsFor(manifest, { ...options, systems });
    const standings = await race(await fastest(entrants, systems), options.repeats);
    console.log(standingsTable(manifest, standings));
    const { entrant, patchMs } = standingOf('stlm', standings)!;
    const floors = [];
    for (const threads of options.threads) floors.push(await measureFloor(manifest, threads));
    console.log(floorLine(patchMs!, entrant.task.threads, floors));
    const profile = options.profile ? await measureProfile(entrant) : undefined;
    if (profile !== undefined) console.log(`\n${profileTable(profile)}`);
    tiers.push(tierReport(manifest, standings, floors, profile));
  }
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ date: new Date().toISOString(), machine, tiers }, null, 2)}\n`);
  }
}

function availableSystems(): System[] {
  const peers = (Object.keys(PACKAGES) as (keyof typeof PACKAGES)[]).filter((system) => {
    const missing = missingPackage(PACKAGES[system]);
    if (missing !== undefined) console.error(missing);
    return missing === undefined;
  });
  return ['stlm', ...peers];
}

async function fastest(entrants: readonly Entrant[], systems: readonly System[]): Promise<Entrant[]> {
  const tried: { entrant: Entrant; bytesPerSecond: number }[] = [];
  for (const entrant of entrants) {
    try {
      const { bytesPerSecond } = await measure<Measurement>({ ...entrant, task: { ...entrant.task, decodeBytes: QUALIFYING_BYTES } });
      console.error(`  trying ${entrant.system} (${entrant.settings}): ${Math.round(bytesPerSecond)} bytes/s`);
      tried.push({ entrant, bytesPerSecond });
    } catch (error) {
      // A setting that cannot run here is out; the system is not.
      console.error(`  ${(error as Error).message}`);
    }
  }
  return systems.map((system) => {
    const [best] = tried.filter(({ entrant }) => entrant.system === system).toSorted((a, b) => b.bytesPerSecond - a.bytesPerSecond);
    if (best === undefined) throw new Error(`${system}: no setting runs here`);
    return best.entrant;
  });
}

async function race(entrants: readonly Entrant[], repeats: number): Promise<Standing[]> {
  const runs = entrants.map((entrant) => ({ entrant, measurements: [] as Measurement[] }));
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    for (const { entrant, measurements } of runs) {
      measurements.push(await measure<Measurement>(entrant));
      console.error(`  ${repeat + 1}/${repeats} ${entrant.system}: ${Math.round(measurements.at(-1)!.bytesPerSecond)} bytes/s`);
    }
  }
  return runs.map(({ entrant, measurements }) => {
    const of = (figure: Exclude<keyof Measurement, 'patchMs'>) => spread(measurements.map((measurement) => measurement[figure]));
    const patchMs = measurements.flatMap((measurement) => measurement.patchMs ?? []);
    return {
      entrant,
      coldLoadMs: of('coldLoadMs'),
      firstByteMs: of('firstByteMs'),
      bytesPerSecond: of('bytesPerSecond'),
      residentMiB: of('residentMiB'),
      patchMs: patchMs.length > 0 ? median(patchMs) : undefined,
    };
  });
}

function standingsTable({ id, parameters, evaluation }: Manifest, standings: readonly Standing[]): string {
  const ours = standingOf('stlm', standings)!;
  const rows = standings.map(({ entrant: { system, settings }, coldLoadMs, firstByteMs, bytesPerSecond, residentMiB }) => [
    system === 'stlm' ? id : system,
    settings,
    coldLoadMs.median.toFixed(0),
    firstByteMs.median.toFixed(1),
    bytesPerSecond.median.toFixed(0),
    `${bytesPerSecond.least.toFixed(0)}-${bytesPerSecond.most.toFixed(0)}`,
    residentMiB.median.toFixed(0),
    system === 'stlm' ? '' : `${(ours.bytesPerSecond.median / bytesPerSecond.median).toFixed(2)}x`,
    system === 'stlm' && evaluation !== undefined ? evaluation.mean.toFixed(3) : '',
  ]);
  const head = ['system', 'fastest setting', 'load ms', 'first byte ms', 'bytes/s', 'from-to', 'MiB', 'ours against it', 'bits/byte'];
  return `\n${id}: ${(parameters.unique / 1e6).toFixed(1)}M parameters\n${table(head, rows)}`;
}

function standingOf(system: System, standings: readonly Standing[]): Standing | undefined {
  return standings.find(({ entrant }) => entrant.system === system);
}

function tierReport({ id, parameters, evaluation }: Manifest, standings: readonly Standing[], floors: readonly Floor[], profile: ProfileMeasurement | undefined) {
  const of = (system: System) => standingOf(system, standings);
  const ours = of('stlm')!;
  const ratio = (peer: Standing | undefined) => (peer === undefined ? null : ours.bytesPerSecond.median / peer.bytesPerSecond.median);
  return {
    tier: id,
    parameters: parameters.unique,
    bitsPerByte: evaluation?.mean ?? null,
    settings: ours.entrant.settings,
    patchMs: ours.patchMs,
    floors,
    profile: profile ?? null,
    bytesPerSecond: ours.bytesPerSecond.median,
    coldLoadMs: ours.coldLoadMs.median,
    firstByteMs: ours.firstByteMs.median,
    residentMiB: ours.residentMiB.median,
    ratioToLlamaCpp: ratio(of('node-llama-cpp')),
    ratioToTransformers: ratio(of('transformers.js')),
    standings: standings.map(({ entrant: { system, settings }, ...figures }) => ({ system, settings, ...figures })),
  };
}
