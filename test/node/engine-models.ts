import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chunkPatches } from '../../functions/engine/chunk.js';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { defaultFile, parseManifest } from '../../functions/registry/manifest.js';
import { Registry } from '../../functions/registry/registry.js';
import type { ChatTemplate, Manifest } from '../../functions/schema/manifest.js';
import type { GenerateOptions } from '../../functions/engine/types.js';

export const MODELS = 'test/fixtures/models';
export const TINY = 'stlm-tiny';

/** The committed test model: its manifest, and its file as `openSession` takes it. */
export async function tinyModel() {
  const folder = join(MODELS, TINY);
  const manifest = await parseManifest(TINY, readFileSync(join(folder, 'manifest.json'), 'utf8'));
  const { name, sha256 } = defaultFile(manifest);
  const shape = { trunk: manifest.trunk, contextPatches: manifest.context.patches, chunkPatches: chunkPatches(manifest.trunk) };
  return { manifest, shape, file: { path: join(folder, name), sha256 } };
}

/** As `chat_template` of model-core has it. */
export const CHAT: ChatTemplate = { roles: { system: 263, user: 264, assistant: 265 }, endOfTurn: 266 };

/** A temporary folder with the test model, which says there that it was tuned to chat and fills gaps: its replies are noise, its turns are real. */
export async function chatModels(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'stlm-chat-'));
  await cp(MODELS, folder, { recursive: true });
  const path = join(folder, TINY, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as Manifest;
  await writeFile(path, JSON.stringify({ ...manifest, chat: CHAT, infill: true }));
  return folder;
}

/** A temporary folder with the test model under several ids, each said to be larger than the one before it. */
export async function tieredModels(ids: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'stlm-tiers-'));
  for (const [index, id] of ids.entries()) {
    await cp(join(MODELS, TINY), join(folder, id), { recursive: true });
    const path = join(folder, id, 'manifest.json');
    const manifest = JSON.parse((await readFile(path, 'utf8')).replaceAll(TINY, id)) as Manifest;
    const unique = manifest.parameters.unique * (index + 1);
    await writeFile(path, JSON.stringify({ ...manifest, parameters: { ...manifest.parameters, unique } }));
    await rename(join(folder, id, `${TINY}.int4.onnx`), join(folder, id, `${id}.int4.onnx`));
  }
  return folder;
}

export function openRegistry(folder = MODELS): Promise<Registry> {
  return Registry.open(new FolderStore(folder), new ModelFileCache(join(folder, 'unused')));
}

/** A character a byte, so that any bytes can be compared and cut as text. */
export const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'));
export const textOf = (chunks: readonly Uint8Array[]) => Buffer.concat(chunks).toString('latin1');

export function greedy(prompt: string, options: Partial<GenerateOptions> = {}): GenerateOptions & { seed: number } {
  const defaults = { maxBytes: 60, temperature: 0, topP: 1, topK: 0, stop: [], logitBias: new Map<number, number>(), cacheSalt: '', deadlineAtMs: Infinity };
  return { ...defaults, prompt: bytesOf(prompt), ...options, seed: options.seed ?? 1 };
}
