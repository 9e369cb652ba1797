/** The app on a real socket with a real worker and the test model, which says there that it was tuned to chat and fills gaps. */
import { rm } from 'node:fs/promises';
import { expect } from 'vitest';
import { WorkerPool } from '../../../functions/engine/pool.js';
import { type Completion, type CompletionChunk, completionChunkSchema, completionSchema } from '../../../functions/schema/completion.js';
import { chatModels, openRegistry } from '../engine-models.js';
import { listen } from './server.js';
import { readChunks } from './sse.js';

/** Ends in the middle of a word. */
export const PROMPT = 'The river ran by the old ci';
/** Greedy and unhurried. */
export const DEFAULTS = { model: 'stlm-auto', prompt: PROMPT, max_tokens: 24, temperature: 0, latency_budget_ms: 60_000 };

export type ModelServer = Awaited<ReturnType<typeof startModelServer>>;

export async function startModelServer() {
  const folder = await chatModels();
  const workerUrl = new URL('../../../dist/functions/engine/worker.js', import.meta.url);
  const pool = new WorkerPool({ registry: await openRegistry(folder), workerUrl, workers: 1, threads: 1 });
  const server = await listen(pool);
  const ask = (fields: object) => server.post('/v1/completions', { ...DEFAULTS, ...fields });
  return {
    url: server.url,
    post: server.post,
    ask,
    async complete(fields: object): Promise<Completion> {
      const response = await ask(fields);
      expect(response.status).toBe(200);
      return completionSchema.parse(await response.json());
    },
    async stream(fields: object): Promise<CompletionChunk[]> {
      const chunks = await readChunks<CompletionChunk>(await ask({ ...fields, stream: true }));
      return chunks.map((chunk) => completionChunkSchema.parse(chunk));
    },
    async close(): Promise<void> {
      await server.close();
      await pool.close();
      await rm(folder, { recursive: true });
    },
  };
}

export const bytesOf = (text: string) => [...new TextEncoder().encode(text)];
export const logprobsOf = ({ choices }: Completion, index = 0) => choices[index]!.logprobs!;
/** Without marks. */
export const bytesTold = (completion: Completion, index = 0) => logprobsOf(completion, index).bytes.filter((byte) => byte !== null);
/** A text whose bytes are of ASCII, so that none is lost in it. */
export const ascii = Object.fromEntries(Array.from({ length: 128 }, (_, index) => [128 + index, -100]));
