/**
 * A client without dependencies, for Node, browsers and Workers.
 *
 * @module
 */
import type { ChatChunk, ChatCompletion, ChatRequest } from '../schema/chat.js';
import type { Completion, CompletionChunk, CompletionRequest } from '../schema/completion.js';
import type { ChatLogprobs, CompletionLogprobs } from '../schema/logprobs.js';
import type { Model, ModelList } from '../schema/model.js';
import type { RouteAnswer } from '../schema/route.js';
import { apiError, ConnectionError, ProtocolError } from './errors.js';
import { eventData } from './event-stream.js';
import { retryDelayMs } from './retry.js';

export interface StlmOptions {
  /** With the version: `http://127.0.0.1:8080/v1`. */
  readonly baseUrl: string;
  readonly apiKey?: string;
  /** The latency budget of requests that name none; the server's default if absent. */
  readonly budgetMs?: number;
  /** Further attempts while the server is full, loading or unreachable and the budget allows; 2 if absent. */
  readonly maxRetries?: number;
  /** Another `fetch`, for tests and proxies. */
  readonly fetch?: typeof fetch;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

type Options<Body> = Omit<Body, 'model' | 'stream' | 'stream_options' | 'latency_budget_ms'> & {
  /** `stlm-auto` if absent. */
  readonly model?: string;
  /** From this call to the last byte of text, retries included. */
  readonly budgetMs?: number;
};

export type CompleteOptions = Options<CompletionRequest>;
export type ChatOptions = Options<ChatRequest>;

/** One piece of a streamed text; the last one carries the whole chunk's report as `stlm`. */
export interface Piece<Logprobs = CompletionLogprobs> {
  readonly text: string;
  /** Which of several choices. */
  readonly index: number;
  readonly finishReason: string | null;
  /** Of its bytes, if they were asked for. */
  readonly logprobs?: Logprobs;
  readonly stlm?: Completion['stlm'];
}

const DEFAULT_RETRIES = 2;
const END = '[DONE]';

/**
 * @example
 * const stlm = new Stlm({ baseUrl: 'http://127.0.0.1:8080/v1' });
 * const { choices, stlm: report } = await stlm.complete({ prompt: 'Once upon a time', budgetMs: 300 });
 */
export class Stlm {
  readonly #options: StlmOptions;

  constructor(options: StlmOptions) {
    this.#options = { ...options, baseUrl: options.baseUrl.replace(/\/+$/, '') };
  }

  /** Continues a text. @throws {StlmError} of `errors.ts`; a `DOMException` named AbortError when `signal` aborts */
  complete(options: CompleteOptions, call?: CallOptions): Promise<Completion> {
    return this.#answer<Completion>('/completions', options, call);
  }

  /** Continues a text piece by piece, as it is written. Leaving the loop ends the work on the server. */
  async *stream(options: CompleteOptions, call?: CallOptions): AsyncGenerator<Piece<CompletionLogprobs>, void, void> {
    for await (const { choices, stlm } of this.#chunks<CompletionChunk>('/completions', options, call)) {
      for (const { text, index, finish_reason: finishReason, logprobs } of choices) yield { text, index, finishReason, ...(logprobs && { logprobs }), ...(stlm && { stlm }) };
    }
  }

  /** The next reply of a chat. */
  chat(options: ChatOptions, call?: CallOptions): Promise<ChatCompletion> {
    return this.#answer<ChatCompletion>('/chat/completions', options, call);
  }

  async *streamChat(options: ChatOptions, call?: CallOptions): AsyncGenerator<Piece<ChatLogprobs>, void, void> {
    for await (const { choices, stlm } of this.#chunks<ChatChunk>('/chat/completions', options, call)) {
      for (const { delta, index, finish_reason: finishReason, logprobs } of choices) {
        yield { text: delta.content ?? '', index, finishReason, ...(logprobs && { logprobs }), ...(stlm && { stlm }) };
      }
    }
  }

  /** Which tier would run `options`, what each would take, and why. Runs nothing. */
  route(options: CompleteOptions, call?: CallOptions): Promise<RouteAnswer> {
    return this.#answer<RouteAnswer>('/route', options, call);
  }

  async models(call?: CallOptions): Promise<Model[]> {
    return (await this.#get<ModelList>('/models', call)).data;
  }

  model(id: string, call?: CallOptions): Promise<Model> {
    return this.#get<Model>(`/models/${encodeURIComponent(id)}`, call);
  }

  async #answer<Answer>(path: string, options: Options<object>, call: CallOptions | undefined): Promise<Answer> {
    return json<Answer>(await this.#post(path, options, {}, call), call);
  }

  async *#chunks<Chunk>(path: string, options: Options<object>, call: CallOptions | undefined): AsyncGenerator<Chunk, void, void> {
    const { body } = await this.#post(path, options, { stream: true }, call);
    if (body === null) throw new ProtocolError('the stream has no body');
    try {
      for await (const data of eventData(body)) {
        if (data === END) return;
        const chunk = parsed(data);
        if (typeof chunk === 'object' && chunk !== null && 'error' in chunk) throw apiError(chunk, undefined, undefined);
        yield chunk as Chunk;
      }
    } catch (error) {
      throw asFailure(error, call);
    }
    throw new ProtocolError('the stream broke off before its end');
  }

  #post(path: string, options: Options<object>, form: object, call: CallOptions | undefined): Promise<Response> {
    const { budgetMs = this.#options.budgetMs, model = 'stlm-auto', ...rest } = options;
    // The budget runs from the call: what waiting and failed attempts took of it is gone.
    return this.#attempt(budgetMs ?? Infinity, call, (remainingMs) => {
      const budget = budgetMs === undefined ? {} : { latency_budget_ms: remainingMs };
      return this.#send(path, { method: 'POST', body: JSON.stringify({ ...rest, model, ...form, ...budget }) }, call);
    });
  }

  async #get<Answer>(path: string, call: CallOptions | undefined): Promise<Answer> {
    return json<Answer>(await this.#attempt(Infinity, call, () => this.#send(path, {}, call)), call);
  }

  async #attempt(budgetMs: number, call: CallOptions | undefined, send: (remainingMs: number) => Promise<Response>): Promise<Response> {
    const endMs = performance.now() + budgetMs;
    const remainingMs = () => endMs - performance.now();
    const { maxRetries = DEFAULT_RETRIES } = this.#options;
    for (let made = 1; ; made += 1) {
      try {
        // The first attempt has what the caller named, to the digit.
        return await send(made === 1 ? budgetMs : remainingMs());
      } catch (error) {
        const delayMs = retryDelayMs(error, { made, maxRetries, remainingMs: remainingMs(), random: Math.random() });
        if (delayMs === undefined) throw error;
        await pause(delayMs, call?.signal);
        // Timers are late at times.
        if (remainingMs() <= 0) throw error;
      }
    }
  }

  async #send(path: string, init: RequestInit, call: CallOptions | undefined): Promise<Response> {
    const { baseUrl, apiKey, fetch: send = fetch } = this.#options;
    const headers = {
      ...(init.body !== undefined && { 'content-type': 'application/json' }),
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    };
    let response: Response;
    try {
      // Called as a plain function: Workers refuse a `fetch` with another `this`.
      response = await send(`${baseUrl}${path}`, { ...init, headers, signal: call?.signal ?? null });
    } catch (error) {
      throw asFailure(error, call);
    }
    if (response.ok) return response;
    const text = await response.text().catch(() => '');
    throw apiError(parsedOr(text, undefined), response.status, response.headers);
  }
}

async function json<Answer>(response: Response, call: CallOptions | undefined): Promise<Answer> {
  const text = await response.text().catch((error: unknown) => {
    throw asFailure(error, call);
  });
  return parsed(text) as Answer;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ProtocolError(`expected JSON, got: ${text.slice(0, 80)}`, { cause });
  }
}

function parsedOr<Fallback>(text: string, fallback: Fallback): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return fallback;
  }
}

/** A caller's abort stays what it is; this client's own errors too; the rest is the connection's. */
function asFailure(error: unknown, call: CallOptions | undefined): unknown {
  if (call?.signal?.aborted === true) return call.signal.reason;
  if (error instanceof TypeError) return new ConnectionError('the server could not be reached', { cause: error });
  return error;
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}
