/** What vitest.config.ts binds for these tests. */
declare module 'cloudflare:workers' {
  export const env: {
    readonly MODELS: { put(key: string, value: ArrayBuffer): Promise<unknown> };
    readonly ARTIFACTS: { fetch(url: string): Promise<Response> };
  };
}
