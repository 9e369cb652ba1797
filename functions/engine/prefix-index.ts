/**
 * What the workers' prefix caches probably hold, as the main thread knows it without asking: every prompt that a text was written
 * after has been read whole, and a tree of the same size forgets the same. It starts again with the cache itself, and once it has
 * promised too much.
 *
 * @module
 */
import type { ModelShape } from './generate.js';
import { type PromptIds, PATCH_CAP, splitPrompt } from './patch.js';
import { type Prefix, PrefixTree } from './prefix-cache.js';
import { PatchWindow } from './window.js';

const FLOAT_BYTES = 4;

export class PrefixIndex {
  readonly #shape: ModelShape;
  /** By worker; values are bytes of keys and values. */
  readonly #trees: readonly PrefixTree<number>[];

  /** @param mostBytes of each worker's cache. */
  constructor(shape: ModelShape, mostBytes: number, workers: number) {
    this.#shape = shape;
    this.#trees = Array.from({ length: workers }, () => new PrefixTree<number>(mostBytes, (bytes) => bytes));
  }

  /** By worker. */
  cachedPatches(prompt: PromptIds, cacheSalt: string): readonly number[] {
    const chunks = this.#chunksOf(prompt);
    return this.#trees.map((tree) => this.#shape.chunkPatches * held(tree, chunks, cacheSalt));
  }

  /** A text has been written after the prompt. */
  observe(worker: number, prompt: PromptIds, cacheSalt: string): void {
    const { trunk, chunkPatches } = this.#shape;
    const chunkBytes = FLOAT_BYTES * chunkPatches * 2 * trunk.layers * trunk.kvHeads * trunk.headDim;
    const tree = this.#trees[worker]!;
    let prefix: Prefix<number> | undefined = tree.root(cacheSalt);
    for (const rows of this.#chunksOf(prompt)) prefix &&= tree.add(prefix, rows, chunkBytes);
  }

  /** The worker's cache is gone, or is not what it was thought to be. */
  forget(worker: number): void {
    this.#trees[worker]?.clear();
  }

  /** Those that can be reused: the end of a prompt is always read. None of one longer than the context, which is hardly sent twice. */
  #chunksOf(prompt: PromptIds): Int32Array[] {
    const { contextPatches, chunkPatches } = this.#shape;
    if (prompt.length > contextPatches * PATCH_CAP) return [];
    const window = new PatchWindow(contextPatches, splitPrompt(prompt));
    if (window.truncated) return [];
    const whole = Math.floor((window.patches - 1) / chunkPatches);
    return Array.from({ length: whole }, (_, chunk) => window.read(chunk * chunkPatches, chunkPatches));
  }
}

/** How many of a prompt's chunks a tree has. */
function held(tree: PrefixTree<number>, chunks: readonly Int32Array[], cacheSalt: string): number {
  let prefix: Prefix<number> | undefined = tree.root(cacheSalt);
  const missing = chunks.findIndex((rows) => {
    prefix = prefix && tree.peek(prefix, rows);
    return prefix === undefined;
  });
  return missing === -1 ? chunks.length : missing;
}
