/**
 * Which workers have something to do, in memory that all threads see: the only one at work may use the others' cores.
 *
 * @module
 */
export class Occupancy {
  readonly shared: SharedArrayBuffer;
  readonly #jobs: Int32Array;

  /** @param shared another thread's, to see the same. */
  constructor(workers: number, shared = new SharedArrayBuffer(workers * Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#jobs = new Int32Array(shared);
  }

  /** How many texts and loads the worker has been given and not ended. */
  set(worker: number, jobs: number): void {
    Atomics.store(this.#jobs, worker, jobs);
  }

  /** Nobody else has anything to do. */
  isAlone(worker: number): boolean {
    return this.#jobs.every((_, other) => other === worker || Atomics.load(this.#jobs, other) === 0);
  }
}
