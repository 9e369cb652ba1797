/**
 * Who runs at one tier: our engine and its peers at the same number of parameters, each in every setting that might be its fastest.
 * Models of random weights are written once, into a folder that git ignores.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../../functions/schema/manifest.js';
import type { Contender } from './child.js';
import { writeRandomLlama as writeGguf } from './gguf/random-llama.js';
import { type LlamaShape, llamaShape } from './llama-shape.js';
import { writeRandomLlama as writeOnnx } from './onnx/random-llama.js';
import type { LlamaCppTask, StlmTask, Task, TransformersTask } from './systems/protocol.js';

export type System = 'stlm' | 'node-llama-cpp' | 'transformers.js';

export interface Entrant extends Contender {
  readonly program: 'stlm' | 'llama-cpp' | 'transformers';
  readonly task: Task;
}

export interface Arena {
  readonly artifacts: string;
  /** Where random models and prepared graphs are kept. */
  readonly folder: string;
  readonly threads: readonly number[];
  readonly systems: readonly System[];
  readonly decodeBytes: number;
}

export async function entrantsFor(manifest: Manifest, arena: Arena): Promise<Entrant[]> {
  await mkdir(arena.folder, { recursive: true });
  const entrants: Entrant[] = [];
  if (arena.systems.includes('stlm')) entrants.push(...ours(manifest, arena));
  if (arena.systems.includes('node-llama-cpp')) entrants.push(...(await llamaCpp(manifest, arena)));
  if (arena.systems.includes('transformers.js')) entrants.push(...(await transformers(manifest, arena)));
  return entrants;
}

function ours({ id, defaultPrecision }: Manifest, { artifacts, folder, threads, decodeBytes }: Arena): Entrant[] {
  return threads.map((threads) => {
    const task: StlmTask = { artifacts, tier: id, preparedFolder: join(folder, 'prepared'), threads, decodeBytes };
    return { system: 'stlm', settings: `${defaultPrecision}, ${inThreads(threads)}`, program: 'stlm', task };
  });
}

/** The llama of random weights of a shape, written if it is not there yet. */
export async function llamaFile(id: string, shape: LlamaShape, type: 'Q4_0' | 'Q8_0', folder: string): Promise<string> {
  const model = join(folder, `${id}-${shape.layers}x${shape.width}.${type}.gguf`);
  if (!existsSync(model)) await writeGguf(model, shape, type);
  return model;
}

async function llamaCpp({ id, parameters }: Manifest, { folder, threads, decodeBytes }: Arena): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const shape of shapesAt(parameters.unique)) {
    for (const type of ['Q4_0', 'Q8_0'] as const) {
      const model = await llamaFile(id, shape, type, folder);
      for (const count of threads) {
        for (const flashAttention of [true, false]) {
          const task: LlamaCppTask = { model, threads: count, flashAttention, decodeBytes };
          const settings = `${type}, ${shape.layers}x${shape.width}, ${inThreads(count)}${flashAttention ? ', flash attention' : ''}`;
          entrants.push({ system: 'node-llama-cpp', settings, program: 'llama-cpp', task });
        }
      }
    }
  }
  return entrants;
}

async function transformers({ id, parameters }: Manifest, { folder, threads, decodeBytes }: Arena): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const shape of shapesAt(parameters.unique)) {
    const name = `${id}-${shape.layers}x${shape.width}-onnx`;
    if (!existsSync(join(folder, name, 'onnx'))) await writeOnnx(join(folder, name), shape);
    for (const count of threads) {
      const task: TransformersTask = { models: folder, name, shape, threads: count, decodeBytes };
      entrants.push({ system: 'transformers.js', settings: `q4, ${shape.layers}x${shape.width}, ${inThreads(count)}`, program: 'transformers', task });
    }
  }
  return entrants;
}

/** Deep and thin is what peers train, wide and shallow what a CPU runs fastest: the faster of the two counts. */
export function shapesAt(parameters: number): LlamaShape[] {
  const deep = llamaShape(parameters, 'deep');
  const wide = llamaShape(parameters, 'wide');
  return deep.width === wide.width ? [deep] : [deep, wide];
}

export function inThreads(count: number): string {
  return count === 1 ? '1 thread' : `${count} threads`;
}
