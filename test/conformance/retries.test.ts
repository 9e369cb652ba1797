/** What the packages do when the server sheds, fails or is too slow for them: their own retries, timeouts and aborts, over real sockets. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { OpenAI as LangChain } from '@langchain/openai';
import { generateText } from 'ai';
import OpenAI, { APIConnectionTimeoutError, APIUserAbortError, InternalServerError, RateLimitError } from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { createRouter } from '../../functions/router/router.js';
import type { Refusal, Router } from '../../functions/router/types.js';
import { endless, says, ScriptedEngine } from '../node/http/scripted-engine.js';
import { listen, type TestServer } from '../node/http/server.js';

const RETRY_AFTER_MS = 300;
const busy: Refusal = { kind: 'overloaded', retryAfterMs: RETRY_AFTER_MS, tiers: [] };
const loading: Refusal = { kind: 'loading', retryAfterMs: RETRY_AFTER_MS, tiers: [] };
const infeasible: Refusal = { kind: 'infeasible', cheapestMs: 9, tiers: [] };

let server: TestServer;
afterEach(() => server.close());

/** A server that refuses so many requests, and answers those after. */
async function refusing(refusal: Refusal, times: number) {
  const engine = new ScriptedEngine(says(['better late']));
  const router = createRouter({ engine, nowMs: () => performance.timeOrigin + performance.now(), log: { info: () => undefined, warn: () => undefined } });
  const askedAtMs: number[] = [];
  const refusingRouter: Router = {
    ...router,
    route: (request) => {
      askedAtMs.push(performance.now());
      return askedAtMs.length <= times ? refusal : router.route(request);
    },
  };
  server = await listen(engine, { router: refusingRouter });
  return askedAtMs;
}

const request = { model: 'stlm-auto', prompt: 'Once', max_tokens: 16 };
const openai = (options: object = {}) => new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', ...options });
const askOpenAi = async () => (await openai().completions.create(request)).choices[0]!.text;
const askAiSdk = async () => {
  const stlm = createOpenAICompatible({ name: 'stlm', baseURL: `${server.url}/v1` });
  return (await generateText({ model: stlm.completionModel('stlm-auto'), prompt: 'Once' })).text;
};
const askLangChain = () => new LangChain({ model: 'stlm-auto', apiKey: 'none', configuration: { baseURL: `${server.url}/v1` } }).invoke('Once');

describe('a server that sheds', () => {
  test.each([
    ['openai', askOpenAi, busy],
    ['openai', askOpenAi, loading],
    ['the AI SDK', askAiSdk, busy],
    ['the AI SDK', askAiSdk, loading],
  ] as const)('is asked again by %s, and not sooner than it said', async (_package, ask, refusal) => {
    const askedAtMs = await refusing(refusal, 1);
    expect(await ask()).toBe('better late');
    expect(askedAtMs).toHaveLength(2);
    expect(askedAtMs[1]! - askedAtMs[0]!).toBeGreaterThan(RETRY_AFTER_MS - 5);
  });

  test('is asked again by LangChain', async () => {
    const askedAtMs = await refusing(busy, 1);
    expect(await askLangChain()).toBe('better late');
    expect(askedAtMs).toHaveLength(2);
  });

  test.each([
    ['429', busy, RateLimitError],
    ['503', loading, InternalServerError],
  ] as const)('in the end is an error that openai knows: %s', async (_status, refusal, error) => {
    const askedAtMs = await refusing(refusal, 9);
    await expect(askOpenAi()).rejects.toThrow(error);
    expect(askedAtMs).toHaveLength(3);
  });

  test.each([['openai', askOpenAi], ['the AI SDK', askAiSdk]] as const)('for good, with a budget that none can keep, is asked once by %s', async (_package, ask) => {
    const askedAtMs = await refusing(infeasible, 9);
    await expect(ask()).rejects.toThrow(/cheapest feasible/);
    expect(askedAtMs).toHaveLength(1);
  });
});

describe('a client of the openai package that does not wait', () => {
  /** How each text that was begun for it is: still written, or given up. */
  const texts = async () => {
    const engine = new ScriptedEngine(endless);
    server = await listen(engine);
    return () => engine.calls.map(({ signal, ended }) => (signal.aborted && ended ? 'given up' : 'written'));
  };
  const unhurried = { ...request, latency_budget_ms: 60_000 };

  test('because of its timeout, is told so by the package, and its text ends', async () => {
    const begun = await texts();
    await expect(openai({ timeout: 200, maxRetries: 0 }).completions.create(unhurried)).rejects.toThrow(APIConnectionTimeoutError);
    await expect.poll(begun).toEqual(['given up']);
  });

  test('because it aborts, likewise', async () => {
    const begun = await texts();
    const abort = new AbortController();
    const answer = openai().completions.create(unhurried, { signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    await expect(answer).rejects.toThrow(APIUserAbortError);
    await expect.poll(begun).toEqual(['given up']);
  });

  test('and aborts a stream it has begun to read, likewise', async () => {
    const begun = await texts();
    const stream = await openai().completions.create({ ...unhurried, stream: true });
    let text = '';
    for await (const chunk of stream) {
      text += chunk.choices[0]!.text;
      stream.controller.abort();
    }
    expect(text).toBe('word ');
    await expect.poll(begun).toEqual(['given up']);
  });
});
