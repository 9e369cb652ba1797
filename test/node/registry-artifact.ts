import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PATCH_CAP, patchRuleHash } from '../../functions/schema/patch-rule.js';
import type { Manifest } from '../../functions/schema/manifest.js';

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A complete manifest of a model file with these bytes. */
export async function manifestOf(id: string, model: Uint8Array, unique = 10): Promise<Manifest> {
  return {
    schemaVersion: 1,
    id,
    parameters: { unique, effective: unique, embedding: 1 },
    patch: { ruleHash: await patchRuleHash(), cap: PATCH_CAP },
    vocabulary: 272,
    context: { patches: 64 },
    trunk: { layers: 1, width: 8, kvHeads: 1, headDim: 8 },
    bytesPerPatch: 5,
    files: [{ name: `${id}.int4.onnx`, precision: 'int4', bytes: model.length, sha256: sha256(model) }],
    defaultPrecision: 'int4',
    graph: { inputs: [{ name: 'ids', type: 'int32', shape: ['B'] }], outputs: [{ name: 'toks', type: 'int32', shape: ['N'] }] },
    evaluation: { command: 'none', date: '2026-01-01', bitsPerByte: [], mean: 1 },
    training: { bytesSeen: 0, commit: '', seed: 0, sources: [] },
    golden: { prompt: '', ids: [1] },
    latencySeed: { machine: '', threads: 1, loadMs: 1, prefillPatchMs: 1, decodePatchMs: 1 },
  };
}

/** Writes `<folder>/<id>/` as an export would; `manifest` may be altered on the way. */
export async function writeArtifact(folder: string, id: string, model: Uint8Array, alter: (manifest: Manifest) => unknown = (same) => same, unique = 10): Promise<void> {
  const manifest = await manifestOf(id, model, unique);
  await mkdir(join(folder, id), { recursive: true });
  await writeFile(join(folder, id, 'manifest.json'), JSON.stringify(alter(manifest)));
  await writeFile(join(folder, id, `${id}.int4.onnx`), model);
}
