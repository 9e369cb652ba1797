/**
 * ONNX Runtime for an isolate: onnxruntime-web, compiled to WebAssembly, on the one thread there is.
 *
 * @module
 */
import * as ort from 'onnxruntime-web/wasm';
import runtime from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import type { ModelSession } from './onnx-runtime.js';
import type { Feeds, Tensor } from './session.js';

// The package compiles WebAssembly from bytes, which workerd forbids: whatever bytes it brings stand for the module bundled with the Worker.
let memory: WebAssembly.Memory | undefined;
const instantiate = WebAssembly.instantiate.bind(WebAssembly) as (module: WebAssembly.Module, imports?: WebAssembly.Imports) => Promise<WebAssembly.Instance>;
WebAssembly.instantiate = (async (source: WebAssembly.Module | BufferSource, imports?: WebAssembly.Imports) => {
  if (source instanceof WebAssembly.Module) return instantiate(source, imports);
  const instance = await instantiate(runtime, imports);
  memory = Object.values(imports ?? {}).flatMap((names) => Object.values(names)).find((value) => value instanceof WebAssembly.Memory);
  return { instance, module: runtime };
}) as typeof WebAssembly.instantiate;
ort.env.wasm.wasmBinary = new Uint8Array(1);
ort.env.wasm.numThreads = 1;

/** What the runtime, its sessions and the room for their runs take. It grows and never shrinks. */
export function runtimeBytes(): number {
  return memory?.buffer.byteLength ?? 0;
}

/** @param afterRun is waited for before what a run gave is returned. */
export async function openEdgeSession(model: Uint8Array, afterRun: () => Promise<void>): Promise<ModelSession> {
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ['wasm'],
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // Errors are thrown: the runtime need not print them as well.
    logSeverityLevel: 4,
  });
  return new EdgeSession(session, afterRun);
}

class EdgeSession implements ModelSession {
  readonly #session: ort.InferenceSession;
  readonly #afterRun: () => Promise<void>;

  constructor(session: ort.InferenceSession, afterRun: () => Promise<void>) {
    this.#session = session;
    this.#afterRun = afterRun;
  }

  get inputNames(): readonly string[] {
    return this.#session.inputNames;
  }

  tensor(type: 'int32' | 'int64' | 'float32', data: Int32Array | BigInt64Array | Float32Array, dims: readonly number[]): Tensor {
    // The constructor's overloads tie each type to its array, as `Session.tensor` does.
    return new ort.Tensor(type as 'float32', data as Float32Array, dims);
  }

  async run(feeds: Feeds, outputs: readonly string[]): Promise<Readonly<Record<string, Tensor>>> {
    const results = await this.#session.run(feeds as ort.InferenceSession.FeedsType, outputs);
    await this.#afterRun();
    return results;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
