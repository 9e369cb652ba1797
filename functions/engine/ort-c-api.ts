/**
 * The C API of the ONNX Runtime library that the package onnxruntime-node brings, called through koffi. The library hands out one
 * struct of function pointers, `OrtApi` of onnxruntime_c_api.h, which is only ever appended to: a function is found by its place.
 *
 * @module
 */
import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import type Koffi from 'koffi';
import type { LibraryHandle } from 'koffi';

/** An address in this process. */
export type Pointer = bigint;

/** `ORT_API_VERSION` of the release whose struct is written down here; later releases hand it out too. */
const API_VERSION = 8;

/** The struct's members in order, as far as the last one that is called. */
const MEMBERS = `
  CreateStatus GetErrorCode GetErrorMessage
  CreateEnv CreateEnvWithCustomLogger EnableTelemetryEvents DisableTelemetryEvents
  CreateSession CreateSessionFromArray Run
  CreateSessionOptions SetOptimizedModelFilePath CloneSessionOptions SetSessionExecutionMode EnableProfiling DisableProfiling
  EnableMemPattern DisableMemPattern EnableCpuMemArena DisableCpuMemArena SetSessionLogId SetSessionLogVerbosityLevel
  SetSessionLogSeverityLevel SetSessionGraphOptimizationLevel SetIntraOpNumThreads SetInterOpNumThreads
  CreateCustomOpDomain CustomOpDomain_Add AddCustomOpDomain RegisterCustomOpsLibrary
  SessionGetInputCount SessionGetOutputCount SessionGetOverridableInitializerCount
  SessionGetInputTypeInfo SessionGetOutputTypeInfo SessionGetOverridableInitializerTypeInfo
  SessionGetInputName SessionGetOutputName SessionGetOverridableInitializerName
  CreateRunOptions RunOptionsSetRunLogVerbosityLevel RunOptionsSetRunLogSeverityLevel RunOptionsSetRunTag
  RunOptionsGetRunLogVerbosityLevel RunOptionsGetRunLogSeverityLevel RunOptionsGetRunTag RunOptionsSetTerminate RunOptionsUnsetTerminate
  CreateTensorAsOrtValue CreateTensorWithDataAsOrtValue IsTensor GetTensorMutableData
  FillStringTensor GetStringTensorDataLength GetStringTensorContent
  CastTypeInfoToTensorInfo GetOnnxTypeFromTypeInfo CreateTensorTypeAndShapeInfo SetTensorElementType SetDimensions
  GetTensorElementType GetDimensionsCount GetDimensions GetSymbolicDimensions GetTensorShapeElementCount GetTensorTypeAndShape
  GetTypeInfo GetValueType
  CreateMemoryInfo CreateCpuMemoryInfo CompareMemoryInfo MemoryInfoGetName MemoryInfoGetId MemoryInfoGetMemType MemoryInfoGetType
  AllocatorAlloc AllocatorFree AllocatorGetInfo GetAllocatorWithDefaultOptions AddFreeDimensionOverride
  GetValue GetValueCount CreateValue CreateOpaqueValue GetOpaqueValue
  KernelInfoGetAttribute_float KernelInfoGetAttribute_int64 KernelInfoGetAttribute_string
  KernelContext_GetInputCount KernelContext_GetOutputCount KernelContext_GetInput KernelContext_GetOutput
  ReleaseEnv ReleaseStatus ReleaseMemoryInfo ReleaseSession ReleaseValue ReleaseRunOptions ReleaseTypeInfo
  ReleaseTensorTypeAndShapeInfo ReleaseSessionOptions ReleaseCustomOpDomain
  GetDenotationFromTypeInfo CastTypeInfoToMapTypeInfo CastTypeInfoToSequenceTypeInfo
  GetMapKeyType GetMapValueType GetSequenceElementType ReleaseMapTypeInfo ReleaseSequenceTypeInfo
  SessionEndProfiling SessionGetModelMetadata ModelMetadataGetProducerName ModelMetadataGetGraphName ModelMetadataGetDomain
  ModelMetadataGetDescription ModelMetadataLookupCustomMetadataMap ModelMetadataGetVersion ReleaseModelMetadata
  CreateEnvWithGlobalThreadPools DisablePerSessionThreads CreateThreadingOptions ReleaseThreadingOptions
  ModelMetadataGetCustomMetadataMapKeys AddFreeDimensionOverrideByName GetAvailableProviders ReleaseAvailableProviders
  GetStringTensorElementLength GetStringTensorElement FillStringTensorElement AddSessionConfigEntry
`
  .trim()
  .split(/\s+/);

const PATH = platform === 'win32' ? 'str16' : 'str';

/** Results other than a status, which is null or an address to be released. Pointers to pointers and to sizes are typed arrays of 64 bits. */
const SIGNATURES = {
  AddSessionConfigEntry: ['void *', ['void *', 'str', 'str']],
  AllocatorFree: ['void *', ['void *', 'void *']],
  CreateCpuMemoryInfo: ['void *', ['int', 'int', 'void *']],
  CreateEnv: ['void *', ['int', 'str', 'void *']],
  CreateSession: ['void *', ['void *', PATH, 'void *', 'void *']],
  CreateSessionOptions: ['void *', ['void *']],
  CreateTensorWithDataAsOrtValue: ['void *', ['void *', 'void *', 'size_t', 'void *', 'size_t', 'int', 'void *']],
  EnableProfiling: ['void *', ['void *', PATH]],
  GetAllocatorWithDefaultOptions: ['void *', ['void *']],
  GetDimensions: ['void *', ['void *', 'void *', 'size_t']],
  GetDimensionsCount: ['void *', ['void *', 'void *']],
  GetErrorMessage: ['str', ['void *']],
  GetTensorElementType: ['void *', ['void *', 'void *']],
  GetTensorMutableData: ['void *', ['void *', 'void *']],
  GetTensorTypeAndShape: ['void *', ['void *', 'void *']],
  ReleaseSession: ['void', ['void *']],
  ReleaseSessionOptions: ['void', ['void *']],
  ReleaseStatus: ['void', ['void *']],
  ReleaseTensorTypeAndShapeInfo: ['void', ['void *']],
  ReleaseValue: ['void', ['void *']],
  Run: ['void *', ['void *', 'void *', 'void *', 'void *', 'size_t', 'void *', 'size_t', 'void *']],
  SessionGetInputCount: ['void *', ['void *', 'void *']],
  SessionGetInputName: ['void *', ['void *', 'size_t', 'void *', 'void *']],
  SetInterOpNumThreads: ['void *', ['void *', 'int']],
  SetIntraOpNumThreads: ['void *', ['void *', 'int']],
  SetOptimizedModelFilePath: ['void *', ['void *', PATH]],
  SetSessionExecutionMode: ['void *', ['void *', 'int']],
  SetSessionGraphOptimizationLevel: ['void *', ['void *', 'int']],
  SetSessionLogSeverityLevel: ['void *', ['void *', 'int']],
} as const;

type Argument = Pointer | number | string | null | NodeJS.TypedArray;

export interface OrtApi {
  /** Held because koffi unloads a library that nobody holds, whatever addresses in it are still known. */
  readonly library: LibraryHandle;
  /** As '1.30.0'. */
  readonly version: string;
  readonly functions: Readonly<Record<keyof typeof SIGNATURES, (...args: Argument[]) => unknown>>;
  /** Where a typed array's elements lie. They stay there: an array whose buffer has been asked for is not moved. */
  address(array: NodeJS.TypedArray): Pointer;
  /** The text of a C string. */
  text(address: Pointer): string;
  /** Copies `into.byteLength` bytes. */
  read(address: Pointer, into: NodeJS.TypedArray): void;
}

/** @throws where koffi or the library has no build for this machine. */
export async function loadOrtApi(): Promise<OrtApi> {
  // Not imported: that takes a thread that starts 6 ms longer.
  const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  const library = koffi.load(libraryPath());
  const [getApi, getVersion] = koffi.decode(library.func('void *OrtGetApiBase()')(), koffi.array('void *', 2)) as [Pointer, Pointer];
  const version = callable(koffi, getVersion, 'str', [])() as string;
  const api = callable(koffi, getApi, 'void *', ['uint32_t'])(API_VERSION) as Pointer | null;
  if (!api) throw new Error(`ONNX Runtime ${version} has no API of version ${API_VERSION}`);
  const members = koffi.decode(api, koffi.array('void *', MEMBERS.length)) as Pointer[];
  const functions = Object.entries(SIGNATURES).map(([name, [result, args]]) => [name, callable(koffi, members[MEMBERS.indexOf(name)]!, result, args)]);
  const memcpy = koffi.load(platform === 'win32' ? 'ucrtbase.dll' : null).func('memcpy', 'void *', ['void *', 'void *', 'size_t']);
  return {
    library,
    version,
    functions: Object.fromEntries(functions) as OrtApi['functions'],
    address: (array) => {
      // A small array lives on V8's heap, where it moves, until somebody wants its buffer.
      void array.buffer;
      return koffi.address(array);
    },
    text: (address) => koffi.decode.string(address),
    read: (address, into) => {
      memcpy(into, address, into.byteLength);
    },
  };
}

function callable(koffi: typeof Koffi, address: Pointer, result: string, args: readonly string[]): (...args: Argument[]) => unknown {
  return koffi.decode(address, koffi.proto(result, [...args])) as (...args: Argument[]) => unknown;
}

/** Beside the package's own binding, so that either finds the same library, of the same version. */
function libraryPath(): string {
  const names: Partial<Record<NodeJS.Platform, string>> = { darwin: 'libonnxruntime.1.dylib', win32: 'onnxruntime.dll' };
  const name = names[platform] ?? 'libonnxruntime.so.1';
  return createRequire(import.meta.url).resolve(`onnxruntime-node/bin/napi-v6/${platform}/${arch}/${name}`);
}
