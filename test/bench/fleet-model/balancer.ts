/** HAProxy's `leastconn`: the server with the fewest requests of this balancer in flight for its weight, in turn among equals. */
import { Heap } from './heap.js';

/** Places in the heap for each server, before the stale ones are thrown away. */
const MOST_STALE = 8;

interface Entry {
  inFlight: number;
  weight: number;
  /** Of its latest place in the heap; older ones are stale. */
  place: number;
}

export class LeastConnections {
  readonly #entries = new Map<number, Entry>();
  #heap = new Heap<{ readonly server: number; readonly place: number }>();

  add(server: number): void {
    this.#place(server, { inFlight: 0, weight: 1, place: 0 });
  }

  remove(server: number): void {
    this.#entries.delete(server);
  }

  /** @param weight above 0 */
  weigh(server: number, weight: number): void {
    const entry = this.#entries.get(server);
    if (entry === undefined || entry.weight === weight) return;
    entry.weight = weight;
    this.#place(server, entry);
  }

  /** Undefined: there is none. */
  send(): number | undefined {
    for (let next = this.#heap.peek(); next !== undefined; next = this.#heap.peek()) {
      this.#heap.pop();
      const entry = this.#entries.get(next.server);
      if (entry === undefined || entry.place !== next.place) continue;
      entry.inFlight += 1;
      this.#place(next.server, entry);
      return next.server;
    }
    return undefined;
  }

  end(server: number): void {
    const entry = this.#entries.get(server);
    if (entry === undefined) return;
    entry.inFlight -= 1;
    this.#place(server, entry);
  }

  #place(server: number, entry: Entry): void {
    entry.place += 1;
    this.#entries.set(server, entry);
    if (this.#heap.size > MOST_STALE * (this.#entries.size + 16)) this.#rebuild();
    else this.#push(server, entry);
  }

  #push(server: number, { inFlight, weight, place }: Entry): void {
    this.#heap.push((inFlight + 1) / weight, { server, place });
  }

  #rebuild(): void {
    this.#heap = new Heap();
    for (const [server, entry] of this.#entries) this.#push(server, entry);
  }
}
