/**
 * What is known of prompts' beginnings, mostly their keys and values, for prompts that begin alike: instructions, examples, the turns of
 * a chat so far. A tree of chunks, each found by exactly the ids that one prefill run was given, so that what is reused is what that
 * run would give again. Texts of other lengths would end in other places: only whole chunks are kept.
 *
 * @module
 */

/** A whole chunk of a prompt; the root, which stands before the first, has no value. */
export interface Prefix<V> {
  readonly value: V | undefined;
}

interface Node<V> extends Prefix<V> {
  readonly parent: Node<V> | undefined;
  readonly key: string;
  readonly children: Map<string, Node<V>>;
}

/** The graph's `newkv` of each chunk: float32 [patches, layers x 2 x kvHeads x headDim]. */
export type PrefixCache = PrefixTree<Float32Array>;

export function prefixCache(mostBytes: number): PrefixCache {
  return new PrefixTree(mostBytes, (newkv) => newkv.byteLength);
}

export class PrefixTree<V> {
  readonly #mostBytes: number;
  readonly #bytesOfValue: (value: V) => number;
  /** By salt: who may share with whom. */
  readonly #roots = new Map<string, Node<V>>();
  /**
   * Everything but the roots, the least recently used first. Whenever a chunk is used, the ones before it are used after it: so the
   * first of all has no chunk behind it, and can be let go.
   */
  readonly #recency = new Set<Node<V>>();
  #bytes = 0;

  constructor(mostBytes: number, bytesOf: (value: V) => number) {
    this.#mostBytes = mostBytes;
    this.#bytesOfValue = bytesOf;
  }

  /** Of all it holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Where a prompt begins. */
  root(salt: string): Prefix<V> {
    return this.#rooted({ key: salt, value: undefined, parent: undefined, children: new Map() });
  }

  /** The chunk of these ids after `prefix`: int32 [patches + 1, PATCH_CAP], the patch before them first. */
  find(prefix: Prefix<V>, rows: Int32Array): Prefix<V> | undefined {
    const found = this.peek(prefix, rows);
    if (found !== undefined) this.#use(found as Node<V>);
    return found;
  }

  /** The same, which does not count as a use. */
  peek(prefix: Prefix<V>, rows: Int32Array): Prefix<V> | undefined {
    return this.#rooted(prefix as Node<V>).children.get(keyOf(rows));
  }

  /** Undefined: what comes before is gone, or it is too large to be kept. */
  add(prefix: Prefix<V>, rows: Int32Array, value: V): Prefix<V> | undefined {
    const parent = this.#rooted(prefix as Node<V>);
    const key = keyOf(rows);
    const known = parent.children.get(key);
    if (known !== undefined) {
      this.#use(known);
      return known;
    }
    const isRoot = parent.parent === undefined;
    if (!isRoot && !this.#recency.has(parent)) return undefined;
    const node: Node<V> = { key, value, parent, children: new Map() };
    if (this.#bytesOf(node) > this.#mostBytes) return undefined;
    if (isRoot) this.#roots.set(parent.key, parent);
    parent.children.set(key, node);
    this.#bytes += this.#bytesOf(node);
    this.#use(node);
    while (this.#bytes > this.#mostBytes) this.#letGo(this.#recency.values().next().value as Node<V>);
    return this.#recency.has(node) ? node : undefined;
  }

  clear(): void {
    this.#roots.clear();
    this.#recency.clear();
    this.#bytes = 0;
  }

  /** A root is not kept before there is something behind it, and then it is the first that was given out. */
  #rooted(node: Node<V>): Node<V> {
    return node.parent === undefined ? (this.#roots.get(node.key) ?? node) : node;
  }

  #use(node: Node<V>): void {
    for (let each: Node<V> | undefined = node; each?.parent !== undefined; each = each.parent) {
      this.#recency.delete(each);
      this.#recency.add(each);
    }
  }

  #letGo(node: Node<V>): void {
    this.#recency.delete(node);
    this.#bytes -= this.#bytesOf(node);
    const parent = node.parent as Node<V>;
    parent.children.delete(node.key);
    if (parent.parent === undefined && parent.children.size === 0) this.#roots.delete(parent.key);
  }

  #bytesOf({ key, value }: Node<V>): number {
    return this.#bytesOfValue(value as V) + 2 * key.length;
  }
}

/** The ids themselves: nothing that could be the same for others. */
function keyOf(rows: Int32Array): string {
  return String.fromCharCode(...rows);
}
