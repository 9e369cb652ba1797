/** One completion over HTTP, timed from just before it is sent to its last byte. */
import { Pool } from 'undici';
import type { StlmReport } from '../../functions/schema/answer.js';

export interface CompletionRequest {
  readonly model: string;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly budgetMs: number;
  readonly stream?: boolean;
  /** Undefined leaves the server free to batch it. */
  readonly seed?: number | undefined;
}

export interface Answer {
  /** 0: no answer at all. */
  readonly status: number;
  /** By which the server's decision log names it. */
  readonly requestId: string | undefined;
  /** Refusals alone: it was let in first, and no text came in time. */
  readonly admitted: boolean;
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
  async function send({ model, prompt, maxTokens, budgetMs, stream = false, seed }: CompletionRequest): Promise<Answer> {
    const asked = { model, prompt, max_tokens: maxTokens, latency_budget_ms: budgetMs, seed, temperature: 0.8 };
    const body = JSON.stringify({ ...asked, ...(stream && { stream, stream_options: { include_usage: true } }) });
    const startMs = performance.now();
    try {
      const { statusCode, headers, body: answer } = await pool.request({ method: 'POST', path: '/v1/completions', headers: { 'content-type': 'application/json' }, body });
      const text = await answer.text();
      const latencyMs = performance.now() - startMs;
      const parts = statusCode === 200 ? (stream ? streamed(text) : [JSON.parse(text) as AnswerPart]) : [];
      return {
        status: statusCode,
        requestId: one(headers['x-request-id']),
        admitted: headers['x-stlm-model'] !== undefined,
        latencyMs,
        completionBytes: parts.at(-1)?.usage?.completion_tokens ?? 0,
        report: parts.findLast(({ stlm }) => stlm !== undefined)?.stlm,
        retryAfterMs: one(headers['retry-after-ms']) === undefined ? undefined : Number(one(headers['retry-after-ms'])),
      };
    } catch {
      const latencyMs = performance.now() - startMs;
      return { status: 0, requestId: undefined, admitted: false, latencyMs, completionBytes: 0, report: undefined, retryAfterMs: undefined };
    }
  }
  return { send, close: async () => void (pool.closed || (await pool.close())) };
}

/** A whole completion, or a chunk of one. */
interface AnswerPart {
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly stlm?: StlmReport;
}

function streamed(text: string): AnswerPart[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)) as AnswerPart);
}

function one(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0];
}
