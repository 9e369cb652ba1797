/**
 * Opens a verified model file with the best binding this machine has. A run is a synchronous native call: it blocks its thread, so this
 * belongs in a worker.
 *
 * @module
 */
import type { ModelSession, OnnxRuntime } from './onnx-runtime.js';
import { loadOrtApi } from './ort-c-api.js';
import { nativeRuntime } from './ort-native.js';
import { PreparedModels } from './prepared-models.js';

export interface ModelFile {
  readonly path: string;
  readonly sha256: string;
}

export interface SessionOptions {
  readonly runtime: OnnxRuntime;
  /** Threads of one run. */
  readonly threads: number;
  /** See `GraphOptions`. */
  readonly yields?: boolean;
  /** Where prepared models are kept; undefined: nowhere, every load reads the ONNX file. */
  readonly preparedFolder?: string;
}

export interface BestRuntime {
  readonly runtime: OnnxRuntime;
  /** Why it is not the direct binding. */
  readonly fallback: Error | undefined;
}

/** The direct binding, or the package's own on a machine that koffi or the library has no build for. */
export async function bestRuntime(loadApi = loadOrtApi): Promise<BestRuntime> {
  try {
    return { runtime: nativeRuntime(await loadApi()), fallback: undefined };
  } catch (error) {
    const { nodeRuntime } = await import('./ort-node.js');
    return { runtime: nodeRuntime, fallback: error as Error };
  }
}

/**
 * The first time on a machine the optimised graph is saved beside the model; from then on that file is mapped into memory: 100M
 * parameters open in 130 ms instead of 390.
 */
export async function openSession(model: ModelFile, { runtime, preparedFolder, ...width }: SessionOptions): Promise<ModelSession> {
  const openOnnx = () => runtime.open(model.path, { ...width, format: 'onnx' });
  if (preparedFolder === undefined) return openOnnx();

  const prepared = new PreparedModels(preparedFolder, `${model.sha256}-ort${runtime.version}`);
  const openPrepared = (path: string) => runtime.open(path, { ...width, format: 'prepared' });
  try {
    const intact = await prepared.find();
    if (intact !== undefined) return await openPrepared(intact);
    return await prepared.make(async (saveTo) => {
      const saving = await runtime.open(model.path, { ...width, format: 'onnx', saveTo });
      await saving.release();
      // Not every graph that can be saved can be read back (4-bit initialisers): publish what has been opened.
      return openPrepared(saveTo);
    });
  } catch {
    // A full or read-only disk, or a file that another process has just removed, costs speed, not service. A model that is no good fails again here, with its own error.
    return openOnnx();
  }
}
