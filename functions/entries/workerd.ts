/** What the platform gives a Worker: its bindings, time, chance, and a log that it gathers. */
import type { RateLimit } from '../access/binding.js';
import type { Bucket } from '../registry/bucket.js';
import type { Logger } from '../routes/context.js';

/** By their names in wrangler.toml; settings and secrets stand beside them, see `edge-config.ts`. */
export interface Bindings {
  readonly MODELS: Bucket;
  readonly ORIGIN?: { fetch(url: string, init: RequestInit): Promise<Response> };
  readonly LIMITER?: RateLimit;
}

export const nowMs = () => Date.now();
export const pause = (ms: number) => scheduler.wait(ms);
export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0]!;
export const newId = () => crypto.randomUUID();

const readable = (_: string, value: unknown) => (value instanceof Error ? { name: value.name, message: value.message, stack: value.stack, cause: value.cause } : value);
const write = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) => console[level](JSON.stringify({ level, message, ...fields }, readable));
export const logger: Logger = { info: write('info'), warn: write('warn'), error: write('error') };
