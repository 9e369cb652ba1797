/**
 * The one thing the patch loop needs from an ONNX runtime: run a graph on tensors that view buffers it owns.
 *
 * @module
 */

export interface Tensor {
  readonly type: string;
  readonly data: unknown;
  readonly dims: readonly number[];
}

export type Feeds = Readonly<Record<string, Tensor>>;

export interface Session {
  /** That the run before kept busy; 1 if absent. */
  readonly threads?: number;
  /** Wraps `data` without copying: a later write to `data` is seen by the next run. */
  tensor(type: 'int32', data: Int32Array, dims: readonly number[]): Tensor;
  tensor(type: 'int64', data: BigInt64Array, dims: readonly number[]): Tensor;
  tensor(type: 'float32', data: Float32Array, dims: readonly number[]): Tensor;
  /**
   * Runs the graph and returns the named outputs. Nothing can stop a run once it has begun, and it blocks its thread; before it the event
   * loop turns, unless it has within a millisecond, so that what has arrived meanwhile is heard.
   */
  run(feeds: Feeds, outputs: readonly string[]): Promise<Readonly<Record<string, Tensor>>>;
}
