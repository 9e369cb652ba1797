/**
 * The local copies of remote model files, named by their content. A name exists only once its bytes have been checked and have
 * reached the disk, so a crash at any moment leaves either a whole file or none.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removeAbandoned } from './abandoned.js';
import { syncFolder, writeDurably } from './durable.js';
import { ArtifactUnavailableError, isArtifactError } from './errors.js';
import { type ExpectedFile, verified, verifyFile } from './verify.js';

export class ModelFileCache {
  readonly #folder: string;
  readonly #flights = new Map<string, Promise<string>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * The path of a verified copy. Callers that want the same file share one download.
   * @throws {ArtifactCorruptError} {ArtifactUnavailableError}
   */
  obtain(file: ExpectedFile, download: () => AsyncIterable<Uint8Array>): Promise<string> {
    const inFlight = this.#flights.get(file.sha256);
    if (inFlight !== undefined) return inFlight;
    const flight = this.#obtain(file, download).finally(() => this.#flights.delete(file.sha256));
    this.#flights.set(file.sha256, flight);
    return flight;
  }

  async #obtain(file: ExpectedFile, download: () => AsyncIterable<Uint8Array>): Promise<string> {
    const path = join(this.#folder, `${file.sha256}.onnx`);
    if (await isIntact(path, file)) return path;
    // Another process may be fetching the same file into the same folder.
    const partial = `${path}.${randomUUID()}.part`;
    try {
      await mkdir(this.#folder, { recursive: true });
      await removeAbandoned(this.#folder);
      await writeDurably(partial, verified(download(), file));
      await rename(partial, path);
      await syncFolder(this.#folder);
      return path;
    } catch (error) {
      if (isArtifactError(error)) throw error;
      throw new ArtifactUnavailableError(`${file.name}: cannot be kept (${(error as NodeJS.ErrnoException).code})`, { cause: error });
    } finally {
      await rm(partial, { force: true });
    }
  }
}

/** A copy that time or a crash has damaged is as good as none. */
async function isIntact(path: string, file: ExpectedFile): Promise<boolean> {
  try {
    await verifyFile(path, file);
    return true;
  } catch (error) {
    if (isArtifactError(error)) return false;
    throw error;
  }
}
