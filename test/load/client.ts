/** One completion over HTTP, timed from just before it is sent to its last byte. */
import { Pool } from 'undici';
import type { StlmReport } from '../../functions/schema/answer.js';
import type { Completion } from '../../functions/schema/completion.js';

export interface CompletionRequest {
  readonly model: string;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly budgetMs: number;
  readonly seed: number;
}

export interface Answer {
  /** 0: no answer at all. */
  readonly status: number;
  readonly latencyMs: number;
  readonly completionBytes: number;
  readonly report: StlmReport | undefined;
  /** What a refusal names as the time to stay away. */
  readonly retryAfterMs: number | undefined;
}

export interface Client {
  send(request: CompletionRequest): Promise<Answer>;
  close(): Promise<void>;
}

/** Connections enough that none of the requests in flight waits for another's. */
const CONNECTIONS = 512;

export function connect(url: string): Client {
  const pool = new Pool(url, { connections: CONNECTIONS });
  async function send({ model, prompt, maxTokens, budgetMs, seed }: CompletionRequest): Promise<Answer> {
    const body = JSON.stringify({ model, prompt, max_tokens: maxTokens, latency_budget_ms: budgetMs, seed, temperature: 0.8 });
    const startMs = performance.now();
    try {
      const response = await pool.request({ method: 'POST', path: '/v1/completions', headers: { 'content-type': 'application/json' }, body });
      const text = await response.body.text();
      const latencyMs = performance.now() - startMs;
      const completion = response.statusCode === 200 ? (JSON.parse(text) as Completion) : undefined;
      const retryAfter = response.headers['retry-after-ms'];
      return {
        status: response.statusCode,
        latencyMs,
        completionBytes: completion?.usage.completion_tokens ?? 0,
        report: completion?.stlm,
        retryAfterMs: typeof retryAfter === 'string' ? Number(retryAfter) : undefined,
      };
    } catch {
      return { status: 0, latencyMs: performance.now() - startMs, completionBytes: 0, report: undefined, retryAfterMs: undefined };
    }
  }
  return { send, close: () => pool.close() };
}
