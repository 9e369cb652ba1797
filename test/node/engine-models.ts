import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chunkPatches } from '../../functions/engine/chunk.js';
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { defaultFile, parseManifest } from '../../functions/registry/manifest.js';
import { Registry } from '../../functions/registry/registry.js';
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

export function openRegistry(folder = MODELS): Promise<Registry> {
  return Registry.open(new FolderStore(folder), new ModelFileCache(join(folder, 'unused')));
}

/** A character a byte, so that any bytes can be compared and cut as text. */
export const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'));
export const textOf = (chunks: readonly Uint8Array[]) => Buffer.concat(chunks).toString('latin1');

export function greedy(prompt: string, options: Partial<GenerateOptions> = {}): GenerateOptions & { seed: number } {
  const defaults = { maxBytes: 60, temperature: 0, topP: 1, topK: 0, stop: [], logitBias: new Map<number, number>(), deadlineAtMs: Infinity };
  return { ...defaults, prompt: bytesOf(prompt), ...options, seed: options.seed ?? 1 };
}
