/** What workerd and its bundler have besides the web's standards, as far as it is used. */

/** A module, compiled before the Worker starts. */
declare module 'onnxruntime-web/ort-wasm-simd-threaded.wasm' {
  const module: WebAssembly.Module;
  export default module;
}

declare module 'cloudflare:workers' {
  export function waitUntil(work: Promise<unknown>): void;
}

interface Scheduler {
  wait(ms: number): Promise<void>;
}
