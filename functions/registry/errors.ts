/**
 * Why a model cannot be had.
 *
 * @module
 */

/** The bytes are not what the manifest promises, or the manifest is not one: trying again changes nothing. */
export class ArtifactCorruptError extends Error {
  override readonly name = 'ArtifactCorruptError';
}

/** The store did not answer, or broke off: a later try may succeed. */
export class ArtifactUnavailableError extends Error {
  override readonly name: string = 'ArtifactUnavailableError';
}

/** The store answered, and does not have it, or will not say whether. */
export class ArtifactMissingError extends ArtifactUnavailableError {
  override readonly name = 'ArtifactMissingError';
}

export function isArtifactError(error: unknown): error is ArtifactCorruptError | ArtifactUnavailableError {
  return error instanceof ArtifactCorruptError || error instanceof ArtifactUnavailableError;
}
