/**
 * What opening a model needs from a binding of ONNX Runtime. There are two: a direct one, and the package's own where that has no build.
 *
 * @module
 */
import type { Session } from './session.js';

export interface ModelSession extends Session {
  readonly inputNames: readonly string[];
  release(): Promise<void>;
}

export interface GraphOptions {
  /** Threads of one run. */
  readonly threads: number;
  /**
   * `onnx`: optimised while it is opened. `prepared`: optimised already and saved in the runtime's own format; initialisers are read where
   * they lie in the mapped file instead of being copied out of it.
   */
  readonly format: 'onnx' | 'prepared';
  /** Its threads wait for work asleep between two runs instead of spinning. */
  readonly yields?: boolean;
  /** Where to save the optimised graph. */
  readonly saveTo?: string;
  /** The beginning of the path where the runtime writes what each node took, once the session is released: to measure, not to serve. */
  readonly profileTo?: string;
}

export interface OnnxRuntime {
  /** Of the library, as '1.30.0'. */
  readonly version: string;
  open(path: string, options: GraphOptions): Promise<ModelSession>;
}

/** The session's configuration entries, by the names of onnxruntime_session_options_config_keys.h. */
export function configEntries({ format, saveTo, yields }: GraphOptions): Readonly<Record<string, string>> {
  return {
    ...(format === 'prepared' && {
      'session.load_model_format': 'ORT',
      'session.use_memory_mapped_ort_model': '1',
      'session.use_ort_model_bytes_directly': '1',
      'session.use_ort_model_bytes_for_initializers': '1',
    }),
    ...(yields === true && { 'session.force_spinning_stop': '1' }),
    ...(saveTo !== undefined && { 'session.save_model_format': 'ORT' }),
  };
}
