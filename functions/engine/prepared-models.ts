/**
 * Optimised graphs as this machine's processor wants them, kept on disk. A file is named by what it was made from and by its own
 * sha256: one rename publishes it whole, and damage shows when it is read again.
 *
 * @module
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { arch, cpus } from 'node:os';
import { join } from 'node:path';
import { removeAbandoned } from '../registry/abandoned.js';
import { sha256OfFile } from '../registry/verify.js';

export class PreparedModels {
  readonly #folder: string;
  readonly #source: string;

  /** `source`: what the graph is made from and by, as far as it decides the result; the processor is added here. */
  constructor(folder: string, source: string) {
    this.#folder = folder;
    this.#source = source;
  }

  /** An intact file of an earlier run. A damaged one is removed. */
  async find(): Promise<string | undefined> {
    const prefix = await this.#prefix();
    const names = await readdir(this.#folder).catch(() => []);
    for (const name of names.filter((name) => name.startsWith(prefix) && name.endsWith('.ort'))) {
      const path = join(this.#folder, name);
      if (name === fileName(prefix, await sha256OfFile(path))) return path;
      await rm(path, { force: true });
    }
    return undefined;
  }

  /** Lets `save` write the file, then publishes it; resolves to what `save` made. @throws whatever `save` or the file system throws */
  async make<T>(save: (path: string) => Promise<T>): Promise<T> {
    const prefix = await this.#prefix();
    await mkdir(this.#folder, { recursive: true });
    await removeAbandoned(this.#folder);
    const partial = join(this.#folder, `${randomUUID()}.part`);
    try {
      const saved = await save(partial);
      await rename(partial, join(this.#folder, fileName(prefix, await sha256OfFile(partial))));
      return saved;
    } finally {
      await rm(partial, { force: true });
    }
  }

  async #prefix(): Promise<string> {
    return `${this.#source}-${await processorKey()}-`;
  }
}

function fileName(prefix: string, sha256: string): string {
  return `${prefix}${sha256}.ort`;
}

/** The optimiser picks layouts and kernels by instruction set; virtual machines of one model name differ in their flags. */
async function processorKey(): Promise<string> {
  const information = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  const flags = /^(?:flags|Features)\s*:.*$/m.exec(information)?.[0] ?? '';
  return createHash('sha256').update(`${arch()} ${cpus()[0]?.model} ${flags}`).digest('hex').slice(0, 12);
}
