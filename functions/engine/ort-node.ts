/**
 * ONNX Runtime through its own package for Node, onnxruntime-node: for machines that the direct binding has no build for.
 *
 * @module
 */
import * as ort from 'onnxruntime-node';
import { configEntries, type GraphOptions, type ModelSession, type OnnxRuntime } from './onnx-runtime.js';
import type { Feeds, Tensor } from './session.js';

export const nodeRuntime: OnnxRuntime = {
  version: ort.env.versions.node as string,

  async open(path: string, options: GraphOptions): Promise<ModelSession> {
    const { threads, format, saveTo, profileTo } = options;
    const session = await ort.InferenceSession.create(path, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: format === 'prepared' ? 'disabled' : 'all',
      // Errors are thrown: the runtime need not print them as well.
      logSeverityLevel: 4,
      ...(saveTo !== undefined && { optimizedModelFilePath: saveTo }),
      ...(profileTo !== undefined && { enableProfiling: true, profileFilePrefix: profileTo }),
      extra: configEntries(options),
    });
    return new NodeSession(session, threads);
  },
};

class NodeSession implements ModelSession {
  readonly threads: number;
  readonly #session: ort.InferenceSession;

  constructor(session: ort.InferenceSession, threads: number) {
    this.threads = threads;
    this.#session = session;
  }

  get inputNames(): readonly string[] {
    return this.#session.inputNames;
  }

  tensor(type: 'int32' | 'int64' | 'float32', data: Int32Array | BigInt64Array | Float32Array, dims: readonly number[]): Tensor {
    // The constructor's overloads tie each type to its array, as `Session.tensor` does.
    return new ort.Tensor(type as 'float32', data as Float32Array, dims);
  }

  run(feeds: Feeds, outputs: readonly string[]): Promise<Readonly<Record<string, Tensor>>> {
    return this.#session.run(feeds as ort.InferenceSession.FeedsType, outputs);
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
