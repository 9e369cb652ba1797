/**
 * `bench batch`: bytes per second of all streams together, by how many there are. Ours run through the server's pool in each division
 * of two cores, and llama.cpp's as sequences of one context with as many threads; all in turn, so that a noisy moment does not fall on one of them alone.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { Registry } from '../../functions/registry/registry.js';
import type { Manifest } from '../../functions/schema/manifest.js';
import { type Contender, measure, missingPackage } from './child.js';
import { inThreads, llamaFile, shapesAt } from './entrants.js';
import { busyWarning, describeMachine } from './machine.js';
import { median } from './statistics.js';
import type { LlamaCppStreamsTask, StlmStreamsTask, StreamsMeasurement } from './systems/protocol.js';
import { table } from './table.js';

export interface BatchOptions {
  readonly artifacts: string;
  readonly folder: string;
  readonly tiers: readonly string[];
  readonly streams: readonly number[];
  readonly seconds: number;
  readonly repeats: number;
  readonly json: string | undefined;
}

/** Two cores, divided. */
const DIVISIONS = [
  { workers: 2, threads: 1 },
  { workers: 1, threads: 2 },
  { workers: 1, threads: 1 },
];

interface Standing {
  readonly contender: Contender;
  /** By number of streams. */
  readonly measurements: readonly StreamsMeasurement[];
}

export async function benchBatch(options: BatchOptions): Promise<void> {
  const machine = describeMachine();
  const warning = busyWarning(machine);
  if (warning !== undefined) console.error(warning);
  await mkdir(options.folder, { recursive: true });
  const registry = await Registry.open(new FolderStore(options.artifacts), new ModelFileCache(options.folder));
  const tiers = [];
  for (const id of options.tiers) {
    const manifest = registry.manifests.find((one) => one.id === id);
    if (manifest === undefined) throw new Error(`${options.artifacts} holds no ${id}`);
    const standings = await race([...ours(manifest, options), ...(await peers(manifest, options))], options);
    console.log(report(id, standings, options.streams));
    tiers.push({ tier: id, standings: standings.map(({ contender: { system, settings }, measurements }) => ({ system, settings, measurements })) });
  }
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ date: new Date().toISOString(), machine, streams: options.streams, tiers }, null, 2)}\n`);
  }
}

function ours({ id, defaultPrecision }: Manifest, { artifacts, folder, streams, seconds }: BatchOptions): Contender[] {
  return DIVISIONS.map(({ workers, threads }) => {
    const task: StlmStreamsTask = { artifacts, tier: id, preparedFolder: join(folder, 'prepared'), workers, threads, streams, seconds };
    return { system: 'stlm', settings: `${defaultPrecision}, ${workers} x ${inThreads(threads)}`, program: 'stlm-streams', task };
  });
}

async function peers({ id, parameters }: Manifest, { folder, streams, seconds }: BatchOptions): Promise<Contender[]> {
  const missing = missingPackage('node-llama-cpp');
  if (missing !== undefined) {
    console.error(missing);
    return [];
  }
  const contenders: Contender[] = [];
  for (const shape of shapesAt(parameters.unique)) {
    const model = await llamaFile(id, shape, 'Q4_0', folder);
    for (const threads of [1, 2]) {
      const task: LlamaCppStreamsTask = { model, threads, flashAttention: true, streams, seconds };
      const settings = `Q4_0, ${shape.layers}x${shape.width}, ${inThreads(threads)}`;
      contenders.push({ system: 'node-llama-cpp', settings, program: 'llama-cpp-streams', task });
    }
  }
  return contenders;
}

async function race(contenders: readonly Contender[], { repeats, streams }: BatchOptions): Promise<Standing[]> {
  const runs = contenders.map((contender) => ({ contender, rounds: [] as StreamsMeasurement[][] }));
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    for (const { contender, rounds } of runs) {
      const round = await measure<StreamsMeasurement[]>(contender);
      rounds.push(round);
      const rates = round.map(({ bytesPerSecond }) => Math.round(bytesPerSecond)).join(', ');
      console.error(`  ${repeat + 1}/${repeats} ${contender.system} (${contender.settings}): ${rates} bytes/s`);
    }
  }
  return runs.map(({ contender, rounds }) => {
    const of = (figure: keyof StreamsMeasurement, index: number) => median(rounds.map((round) => round[index]![figure]));
    return { contender, measurements: streams.map((_, index) => ({ bytesPerSecond: of('bytesPerSecond', index), bytesPerCpuSecond: of('bytesPerCpuSecond', index) })) };
  });
}

/** The gain is over one stream of the same division; ours against the peer's best at the same number of streams. */
function report(id: string, standings: readonly Standing[], streams: readonly number[]): string {
  const most = (figure: keyof StreamsMeasurement) =>
    Math.max(...standings.filter(({ contender }) => contender.system !== 'stlm').map(({ measurements }) => measurements.at(-1)![figure]));
  const rows = standings.map(({ contender: { system, settings }, measurements }) => {
    const [first, last] = [measurements[0]!, measurements.at(-1)!];
    const against = (figure: keyof StreamsMeasurement) => (system === 'stlm' && Number.isFinite(most(figure)) ? times(last[figure] / most(figure)) : '');
    return [
      system === 'stlm' ? id : system,
      settings,
      ...measurements.map(({ bytesPerSecond }) => bytesPerSecond.toFixed(0)),
      times(last.bytesPerSecond / first.bytesPerSecond),
      against('bytesPerSecond'),
      first.bytesPerCpuSecond.toFixed(0),
      last.bytesPerCpuSecond.toFixed(0),
      times(last.bytesPerCpuSecond / first.bytesPerCpuSecond),
      against('bytesPerCpuSecond'),
    ];
  });
  const counts = streams.map((count) => `${count} stream${count === 1 ? '' : 's'}`);
  const head = ['system', 'setting', ...counts, 'gain', 'against peer', `a core's, ${counts[0]}`, counts.at(-1)!, 'gain', 'against peer'];
  return `\n${id}, bytes/s of all streams, and bytes per second of processor time\n${table(head, rows)}`;
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}
