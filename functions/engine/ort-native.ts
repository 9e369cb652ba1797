/**
 * ONNX Runtime through its C API. Beside the package's own binding it saves the conversion of every tensor at every run: an input is
 * described to the library once, when it is made, and a run passes addresses.
 *
 * @module
 */
import { configEntries, type GraphOptions, type ModelSession, type OnnxRuntime } from './onnx-runtime.js';
import type { OrtApi, Pointer } from './ort-c-api.js';
import type { Feeds, Tensor } from './session.js';

/** A turn of the event loop before every run took 2 % of the smallest tier's speed (measured once, in the commit that made this a bound). */
const TURN_EVERY_MS = 1;

const FATAL_ONLY = 4;
const SEQUENTIAL = 0;
const NO_OPTIMIZATION = 0;
const ALL_OPTIMIZATIONS = 99;
const ARENA_ALLOCATOR = 1;
const DEFAULT_MEMORY = 0;

/** ONNXTensorElementDataType of the three that the graphs have. */
const ELEMENT_TYPES = { float32: 1, int32: 6, int64: 7 } as const;
const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array } as const;
type ElementType = keyof typeof ELEMENT_TYPES;
type Data = Float32Array | Int32Array | BigInt64Array;

/** Calls with the status checked, and with what they put out returned. */
class Library {
  readonly api: OrtApi;
  readonly functions: OrtApi['functions'];
  readonly memory: Pointer;
  readonly #out = new BigUint64Array(1);

  constructor(api: OrtApi) {
    this.api = api;
    this.functions = api.functions;
    this.memory = this.made((out) => this.functions.CreateCpuMemoryInfo(ARENA_ALLOCATOR, DEFAULT_MEMORY, out));
  }

  /** @throws what a status that is not OK says. */
  check(status: unknown): void {
    if (!status) return;
    const message = this.functions.GetErrorMessage(status as Pointer) as string;
    this.functions.ReleaseStatus(status as Pointer);
    throw new Error(message);
  }

  /** The address, or the number, that a call writes through its last argument. */
  made(call: (out: BigUint64Array) => unknown): bigint {
    this.check(call(this.#out));
    return this.#out[0] as bigint;
  }
}

/** The OrtValue of a tensor that nobody holds any more is freed. */
const discarded = new FinalizationRegistry<() => void>((free) => free());

/** Described to the library once. Holds the buffer that the OrtValue points into, and lives as long. */
class NativeTensor implements Tensor {
  readonly type: ElementType;
  readonly data: Data;
  readonly dims: readonly number[];
  readonly value: Pointer;

  constructor(library: Library, type: ElementType, data: Data, dims: readonly number[]) {
    const { api, functions, memory } = library;
    this.type = type;
    this.data = data;
    this.dims = dims;
    const shape = BigInt64Array.from(dims, BigInt);
    const value = library.made((out) =>
      functions.CreateTensorWithDataAsOrtValue(memory, api.address(data), data.byteLength, shape, dims.length, ELEMENT_TYPES[type], out),
    );
    this.value = value;
    discarded.register(this, () => functions.ReleaseValue(value));
  }
}

/** C strings: where each begins. */
class CStrings {
  readonly addresses: BigUint64Array;
  /** Held because the addresses point into it. */
  readonly #bytes: Buffer;

  constructor(api: OrtApi, texts: readonly string[]) {
    this.#bytes = Buffer.from(texts.map((text) => `${text}\0`).join(''));
    let next = api.address(this.#bytes);
    this.addresses = BigUint64Array.from(texts, (text) => {
      const address = next;
      next += BigInt(Buffer.byteLength(text) + 1);
      return address;
    });
  }
}

class NativeSession implements ModelSession {
  readonly threads: number;
  readonly inputNames: readonly string[];
  readonly #library: Library;
  readonly #session: Pointer;
  readonly #open: Set<NativeSession>;
  readonly #inputs: CStrings;
  readonly #values: BigUint64Array;
  /**
   * What the run in progress reads. The library is given addresses, which hold nothing, and for a prompt's inputs the argument of `run`
   * is the only other reference: once that has been read for the last time, the collector may free them during the call.
   */
  readonly #running: NativeTensor[] = [];
  /** What the graph has fixed of each output, asked for once. */
  readonly #kinds = new Map<string, OutputKind>();
  #turnedAtMs = -Infinity;
  /** By the names joined: the same few sets are asked for again and again. */
  readonly #outputs = new Map<string, CStrings>();

  /** Stands in `open` until it is released. */
  constructor(library: Library, session: Pointer, threads: number, open: Set<NativeSession>) {
    this.threads = threads;
    this.#library = library;
    this.#session = session;
    this.#open = open;
    open.add(this);
    this.inputNames = inputNames(library, session);
    this.#inputs = new CStrings(library.api, this.inputNames);
    this.#values = new BigUint64Array(this.inputNames.length);
  }

  tensor(type: ElementType, data: Data, dims: readonly number[]): Tensor {
    return new NativeTensor(this.#library, type, data, dims);
  }

  async run(feeds: Feeds, outputs: readonly string[]): Promise<Readonly<Record<string, Tensor>>> {
    if (performance.now() >= this.#turnedAtMs + TURN_EVERY_MS) {
      await new Promise(setImmediate);
      this.#turnedAtMs = performance.now();
    }
    if (!this.#open.has(this)) throw new Error('the session has been released');
    const { functions } = this.#library;
    const wanted = this.#outputNames(outputs);
    // Null where a value is to be made: only the run knows its shape.
    const results = new BigUint64Array(outputs.length);
    try {
      for (const [index, name] of this.inputNames.entries()) {
        const tensor = tensorOf(feeds, name);
        this.#running[index] = tensor;
        this.#values[index] = tensor.value;
      }
      const { addresses } = this.#inputs;
      this.#library.check(functions.Run(this.#session, null, addresses, this.#values, addresses.length, wanted.addresses, outputs.length, results));
      const copies: Record<string, Tensor> = {};
      for (let index = 0; index < outputs.length; index += 1) copies[outputs[index] as string] = this.#copyOf(outputs[index] as string, results[index] as Pointer);
      return copies;
    } finally {
      this.#running.length = 0;
      for (const result of results) if (result !== 0n) functions.ReleaseValue(result);
    }
  }

  async release(): Promise<void> {
    this.free();
  }

  free(): void {
    if (this.#open.delete(this)) this.#library.functions.ReleaseSession(this.#session);
  }

  /** The library's memory goes with the OrtValue, so the elements are copied out. */
  #copyOf(name: string, value: Pointer): Tensor {
    const library = this.#library;
    const { api, functions } = library;
    const shape = library.made((out) => functions.GetTensorTypeAndShape(value, out));
    try {
      const kind = this.#kinds.get(name) ?? outputKind(library, shape);
      this.#kinds.set(name, kind);
      const sizes = new BigInt64Array(kind.rank);
      library.check(functions.GetDimensions(shape, sizes, kind.rank));
      const dims = Array.from(sizes, Number);
      const data = new ARRAYS[kind.type](dims.reduce((product, size) => product * size, 1));
      api.read(library.made((out) => functions.GetTensorMutableData(value, out)), data);
      return { type: kind.type, data, dims };
    } finally {
      functions.ReleaseTensorTypeAndShapeInfo(shape);
    }
  }

  #outputNames(names: readonly string[]): CStrings {
    const key = names.join();
    const known = this.#outputs.get(key) ?? new CStrings(this.#library.api, names);
    this.#outputs.set(key, known);
    return known;
  }
}

/** @throws for a tensor that is missing, or that another binding made: its address would be anything. */
function tensorOf(feeds: Feeds, name: string): NativeTensor {
  const tensor = feeds[name];
  if (tensor instanceof NativeTensor) return tensor;
  throw new Error(`the graph's input ${name} is ${tensor === undefined ? 'missing' : 'no tensor of this session'}`);
}

/** One per thread. Environment and memory description are the process's, and stay. */
export function nativeRuntime(api: OrtApi): OnnxRuntime {
  const library = new Library(api);
  const { functions } = library;
  const environment = library.made((out) => functions.CreateEnv(FATAL_ONLY, 'stlm', out));
  const open = new Set<NativeSession>();
  // The process goes on when a thread has died, and nothing else frees its sessions. An uncaught error comes by here; a thread that is
  // terminated, or killed because its heap is full, does not: its sessions stay until the process ends.
  process.once('exit', () => open.forEach((session) => session.free()));

  return {
    version: api.version,

    async open(path: string, options: GraphOptions): Promise<ModelSession> {
      const settings = library.made((out) => functions.CreateSessionOptions(out));
      try {
        configure(library, settings, options);
        return new NativeSession(library, library.made((out) => functions.CreateSession(environment, path, settings, out)), options.threads, open);
      } finally {
        functions.ReleaseSessionOptions(settings);
      }
    },
  };
}

function configure(library: Library, settings: Pointer, options: GraphOptions): void {
  const { functions } = library;
  const { threads, format, saveTo, profileTo } = options;
  library.check(functions.SetIntraOpNumThreads(settings, threads));
  library.check(functions.SetInterOpNumThreads(settings, 1));
  library.check(functions.SetSessionExecutionMode(settings, SEQUENTIAL));
  library.check(functions.SetSessionGraphOptimizationLevel(settings, format === 'prepared' ? NO_OPTIMIZATION : ALL_OPTIMIZATIONS));
  library.check(functions.SetSessionLogSeverityLevel(settings, FATAL_ONLY));
  for (const [key, value] of Object.entries(configEntries(options))) library.check(functions.AddSessionConfigEntry(settings, key, value));
  if (saveTo !== undefined) library.check(functions.SetOptimizedModelFilePath(settings, saveTo));
  if (profileTo !== undefined) library.check(functions.EnableProfiling(settings, profileTo));
}

function inputNames(library: Library, session: Pointer): string[] {
  const { api, functions } = library;
  const allocator = library.made((out) => functions.GetAllocatorWithDefaultOptions(out));
  const count = Number(library.made((out) => functions.SessionGetInputCount(session, out)));
  return Array.from({ length: count }, (_, index) => {
    const text = library.made((out) => functions.SessionGetInputName(session, index, allocator, out));
    try {
      return api.text(text);
    } finally {
      library.check(functions.AllocatorFree(allocator, text));
    }
  });
}

interface OutputKind {
  readonly type: ElementType;
  readonly rank: number;
}

function outputKind(library: Library, shape: Pointer): OutputKind {
  const { functions } = library;
  // An enum fills half of the 64 bits that it is written into.
  const code = Number(BigInt.asUintN(32, library.made((out) => functions.GetTensorElementType(shape, out))));
  const type = (Object.keys(ELEMENT_TYPES) as ElementType[]).find((type) => ELEMENT_TYPES[type] === code);
  if (type === undefined) throw new Error(`an output has elements of ONNX type ${code}, which no graph of ours has`);
  return { type, rank: Number(library.made((out) => functions.GetDimensionsCount(shape, out))) };
}
