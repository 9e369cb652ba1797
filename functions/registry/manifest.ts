/**
 * Reads what an artifact folder says about itself, and refuses what this server cannot serve. Runtime-free.
 *
 * @module
 */
import { type Manifest, manifestSchema } from '../schema/manifest.js';
import { PATCH_CAP, patchRuleHash } from '../schema/patch-rule.js';
import { ArtifactCorruptError } from './errors.js';

/** @throws {ArtifactCorruptError} naming the field. `tier` is the name of the folder that `json` comes from. */
export async function parseManifest(tier: string, json: string): Promise<Manifest> {
  const manifest = validate(tier, json);
  if (manifest.id !== tier) throw new ArtifactCorruptError(`manifest: it is of ${manifest.id}, not of ${tier}`);
  const { ruleHash, cap } = manifest.patch;
  if (cap !== PATCH_CAP || ruleHash !== (await patchRuleHash())) {
    throw new ArtifactCorruptError('manifest: the model was trained with another patch rule than this server cuts by');
  }
  return manifest;
}

function validate(tier: string, json: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new ArtifactCorruptError(`manifest: ${tier} has no valid JSON in it`, { cause });
  }
  const parsed = manifestSchema.safeParse(value, { jitless: true });
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new ArtifactCorruptError(`manifest: ${issues.join('; ')}`);
  }
  return parsed.data;
}

/** The file a server loads of a tier. */
export function defaultFile(manifest: Manifest): Manifest['files'][number] {
  const file = manifest.files.find(({ precision }) => precision === manifest.defaultPrecision);
  if (file === undefined) throw new ArtifactCorruptError('manifest: no file has the default precision');
  return file;
}
