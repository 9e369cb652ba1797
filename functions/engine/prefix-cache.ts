/**
 * Keys and values of prompts' beginnings, for prompts that begin alike: instructions, examples, the turns of a chat so far. A tree of
 * chunks, each found by exactly the ids that one prefill run was given, so that what is reused is what that run would give again.
 * Texts of other lengths would end in other places: only whole chunks are kept.
 *
 * @module
 */

/** A whole chunk of a prompt; the root stands before the first. */
export interface Prefix {
  /** The graph's `newkv`: float32 [patches, layers x 2 x kvHeads x headDim]. */
  readonly newkv: Float32Array;
  readonly parent: Prefix | undefined;
}

interface Node extends Prefix {
  readonly parent: Node | undefined;
  readonly key: string;
  readonly children: Map<string, Node>;
}

export class PrefixCache {
  readonly #mostBytes: number;
  /** By salt: who may share with whom. */
  readonly #roots = new Map<string, Node>();
  /**
   * Everything but the roots, the least recently used first. Whenever a chunk is used, the ones before it are used after it: so the
   * first of all has no chunk behind it, and can be let go.
   */
  readonly #recency = new Set<Node>();
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Of all it holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Where a prompt begins. */
  root(salt: string): Prefix {
    const root: Node = { key: salt, newkv: new Float32Array(), parent: undefined, children: new Map() };
    return this.#rooted(root);
  }

  /** The chunk of these ids after `prefix`: int32 [patches + 1, PATCH_CAP], the patch before them first. */
  find(prefix: Prefix, rows: Int32Array): Prefix | undefined {
    const found = this.#rooted(prefix as Node).children.get(keyOf(rows));
    if (found !== undefined) this.#use(found);
    return found;
  }

  /** Keeps a copy of what the run gave. Undefined: what comes before is gone, or it is too large to be kept. */
  add(prefix: Prefix, rows: Int32Array, newkv: Float32Array): Prefix | undefined {
    const parent = this.#rooted(prefix as Node);
    const key = keyOf(rows);
    const known = parent.children.get(key);
    if (known !== undefined) return known;
    const isRoot = parent.parent === undefined;
    if (!isRoot && !this.#recency.has(parent)) return undefined;
    const node: Node = { key, newkv: newkv.slice(), parent, children: new Map() };
    if (bytesOf(node) > this.#mostBytes) return undefined;
    if (isRoot) this.#roots.set(parent.key, parent);
    parent.children.set(key, node);
    this.#bytes += bytesOf(node);
    this.#use(node);
    while (this.#bytes > this.#mostBytes) this.#letGo(this.#recency.values().next().value as Node);
    return this.#recency.has(node) ? node : undefined;
  }

  /** A root is not kept before there is something behind it, and then it is the first that was given out. */
  #rooted(node: Node): Node {
    return node.parent === undefined ? (this.#roots.get(node.key) ?? node) : node;
  }

  #use(node: Node): void {
    for (let each: Node | undefined = node; each?.parent !== undefined; each = each.parent) {
      this.#recency.delete(each);
      this.#recency.add(each);
    }
  }

  #letGo(node: Node): void {
    this.#recency.delete(node);
    this.#bytes -= bytesOf(node);
    const parent = node.parent as Node;
    parent.children.delete(node.key);
    if (parent.parent === undefined && parent.children.size === 0) this.#roots.delete(parent.key);
  }
}

/** The ids themselves: nothing that could be the same for others. */
function keyOf(rows: Int32Array): string {
  return String.fromCharCode(...rows);
}

function bytesOf({ key, newkv }: Node): number {
  return newkv.byteLength + 2 * key.length;
}
