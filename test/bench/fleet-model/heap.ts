/** A binary heap: the least key first, and among equal keys the one that was pushed first. */
export class Heap<T> {
  readonly #entries: { readonly key: number; readonly order: number; readonly value: T }[] = [];
  #pushed = 0;

  get size(): number {
    return this.#entries.length;
  }

  get leastKey(): number {
    return this.#entries[0]?.key ?? Infinity;
  }

  push(key: number, value: T): void {
    const entries = this.#entries;
    entries.push({ key, order: this.#pushed++, value });
    let at = entries.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  peek(): T | undefined {
    return this.#entries[0]?.value;
  }

  pop(): T | undefined {
    const entries = this.#entries;
    const least = entries[0];
    const last = entries.pop();
    if (least === undefined || last === undefined || entries.length === 0) return least?.value;
    entries[0] = last;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      let first = at;
      if (left < entries.length && this.#before(left, first)) first = left;
      if (right < entries.length && this.#before(right, first)) first = right;
      if (first === at) return least.value;
      this.#swap(at, first);
      at = first;
    }
  }

  #before(a: number, b: number): boolean {
    const [one, other] = [this.#entries[a]!, this.#entries[b]!];
    return one.key < other.key || (one.key === other.key && one.order < other.order);
  }

  #swap(a: number, b: number): void {
    [this.#entries[a], this.#entries[b]] = [this.#entries[b]!, this.#entries[a]!];
  }
}
