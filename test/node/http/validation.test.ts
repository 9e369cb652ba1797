import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { completionRequestSchema } from '../../../functions/schema/completion.js';
import { says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

let engine: ScriptedEngine;
let server: TestServer;
beforeAll(async () => {
  engine = new ScriptedEngine(says(['ok']));
  server = await listen(engine);
});
afterAll(() => server.close());

const valid = { model: 'stlm-auto', prompt: 'Once' };
const complete = (fields: object) => server.post('/v1/completions', { ...valid, ...fields });

interface ErrorJson {
  error: { message: string; type: string; param: string | null; code: string };
}
const errorOf = async (response: Response) => ((await response.json()) as ErrorJson).error;

describe('a wrong field is refused by name', () => {
  test.each([
    ['model', 7],
    ['model', ''],
    ['model', 'x'.repeat(65)],
    ['model', 'stlm-auto@soon'],
    ['prompt', null],
    ['prompt', { text: 'Once' }],
    ['prompt', [257]],
    ['prompt', [97, 256]],
    ['prompt', [[256, 256]]],
    ['prompt', [-1]],
    ['prompt', [1.5]],
    ['prompt', ['Once', 7]],
    ['prompt', Array.from({ length: 17 }, () => 'Once')],
    ['prompt', Array.from({ length: 65_537 }, () => 1)],
    ['max_tokens', 0],
    ['max_tokens', -5],
    ['max_tokens', 1.5],
    ['max_tokens', 1e300],
    ['max_tokens', '64'],
    ['max_completion_tokens', 0],
    ['temperature', -0.1],
    ['temperature', 2.1],
    ['temperature', 'hot'],
    ['top_p', 0],
    ['top_p', 1.01],
    ['top_k', -1],
    ['top_k', 1e9],
    ['seed', 1e300],
    ['seed', 0.5],
    ['stop', ''],
    ['stop', ['a', 'b', 'c', 'd', 'e']],
    ['stop', [1]],
    ['logit_bias', { 256: 1 }],
    ['logit_bias', { '-1': 1 }],
    ['logit_bias', { '01': 1 }],
    ['logit_bias', { 65: 101 }],
    ['logit_bias', [1]],
    ['logit_bias', Object.fromEntries(Array.from({ length: 257 }, (_, key) => [key, 1]))],
    ['stream', 'yes'],
    ['stream_options', { include_usage: true }],
    ['latency_budget_ms', 0],
    ['latency_budget_ms', -80],
    ['latency_budget_ms', 1e12],
    ['latency_budget_ms', '80'],
    ['ttft_budget_ms', 0],
    ['service_tier', 'gold'],
    ['n', 9],
    ['n', 0],
    ['best_of', 0],
    ['best_of', 9],
    ['echo', 'yes'],
    ['logprobs', 6],
    ['logprobs', true],
    ['logprobs', -1],
    ['suffix', 'the end'],
    ['suffix', ['the end']],
    ['frequency_penalty', 2.1],
    ['presence_penalty', -2.1],
    ['repetition_penalty', 0],
    ['repetition_penalty', 2.1],
    ['min_p', 1.1],
    ['min_p', -0.1],
    ['max_words', 0],
    ['max_words', 1.5],
    ['response_format', { type: 'json' }],
    ['response_format', { type: 'json_schema' }],
    ['response_format', { type: 'json_schema', json_schema: { schema: { not: {} } } }],
    ['regex', '(a'],
    ['regex', ''],
    ['regex', 'a'.repeat(5_000)],
    ['regex', '(?:a|b)*a(?:a|b){18}'],
  ])('%s: %j', async (field, value) => {
    const calls = engine.calls.length;
    const response = await complete({ [field]: value });
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: 'invalid_request_error', param: field });
    expect(error.message).toContain(field);
    expect(engine.calls).toHaveLength(calls);
  });

  test('more texts than one request may ask for', async () => {
    expect((await errorOf(await complete({ prompt: ['a', 'b', 'c'], n: 8 }))).param).toBe('n');
    expect((await complete({ prompt: ['a', 'b'], n: 8 })).status).toBe(200);
  });

  test('fields that do not go together, by the one that is too much', async () => {
    const param = async (fields: object) => (await errorOf(await complete(fields))).param;
    expect(await param({ max_tokens: 0, logprobs: 1 })).toBe('max_tokens');
    expect(await param({ best_of: 2, n: 3 })).toBe('best_of');
    expect(await param({ best_of: 3, stream: true })).toBe('best_of');
    expect(await param({ prompt: ['a', 'b', 'c'], best_of: 8 })).toBe('best_of');
    expect(await param({ suffix: 'end', echo: true, logprobs: 0 })).toBe('suffix');
    expect(await param({ max_words: 2, regex: 'a+' })).toBe('max_words');
    expect(await param({ max_words: 2, response_format: { type: 'json_object' } })).toBe('max_words');
    expect(await param({ prompt: 'a'.repeat(131_073), echo: true, logprobs: 0 })).toBe('echo');
    expect((await complete({ prompt: 'a'.repeat(65_537), echo: true })).status).toBe(200);
  });

  /** What 131,072 figures leave of a prompt, in bytes. */
  test.each([
    [21_845, { logprobs: 5 }],
    [16_384, { n: 8, logprobs: 0 }],
    [10_922, { n: 2, logprobs: 5 }],
    [8_192, { n: 1, best_of: 8, logprobs: 1 }],
  ])('more of the prompt than is scored: %d bytes with %j', async (most, fields) => {
    const scored = { ...fields, echo: true, max_tokens: 0 };
    for (const prompt of ['a'.repeat(most), ['a'.repeat(most - 2), 'é'], Array(most).fill(97)]) {
      const { success } = completionRequestSchema.safeParse({ ...valid, ...scored, prompt });
      expect(success).toBe(true);
    }
    for (const prompt of ['a'.repeat(most + 1), ['a'.repeat(most - 1), 'é'], Array(most + 1).fill(97)]) {
      expect((await errorOf(await complete({ ...scored, prompt }))).param).toBe('echo');
    }
  });

  /** What 131,072 figures leave of each text. */
  test.each([
    [1_365, { prompt: ['a', 'b'], n: 8, logprobs: 5 }],
    [2_730, { prompt: ['a', 'b'], n: 8, logprobs: 2 }],
    [2_730, { best_of: 8, logprobs: 5 }],
  ])('more of the texts than one body tells, which a stream may: %d bytes with %j', async (most, fields) => {
    for (const length of ['max_tokens', 'max_completion_tokens']) {
      expect((await errorOf(await complete({ ...fields, [length]: most + 1 }))).param).toBe('logprobs');
      expect(completionRequestSchema.safeParse({ ...valid, ...fields, [length]: most }).success).toBe(true);
    }
    expect(completionRequestSchema.safeParse({ ...valid, ...fields, best_of: null, max_tokens: most + 1, stream: true }).success).toBe(true);
  });

  test('a megabyte of wrong prompts, by the first of them', async () => {
    for (const prompt of [Array.from({ length: 16 }, () => Array(20_000).fill('')), Array(65_536).fill(''), Array(70_000).fill(1), [[1, 256]], Array(65_536).fill(256), [['a'], 'b'], { 0: 'a' }]) {
      const { error } = completionRequestSchema.safeParse({ ...valid, prompt });
      expect(error!.issues).toHaveLength(1);
      expect(error!.issues[0]!.path).toEqual(['prompt']);
    }
  });

  test('an infinite number, which JSON can spell as 1e999', async () => {
    const response = await server.post('/v1/completions', undefined, { body: '{"model":"stlm-auto","prompt":"Once","temperature":1e999}' });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).param).toBe('temperature');
  });

  test('a token id of another vocabulary, saying which keys there are', async () => {
    const { message } = await errorOf(await complete({ logit_bias: { 50256: -100 } }));
    expect(message).toBe('logit_bias.50256: expected byte values 0-255 as keys');
  });

  test('a missing model or prompt', async () => {
    expect((await errorOf(await server.post('/v1/completions', { prompt: 'Once' }))).param).toBe('model');
    expect((await errorOf(await server.post('/v1/completions', { model: 'stlm-auto' }))).param).toBe('prompt');
  });

  test('a latency budget in a header', async () => {
    const response = await server.post('/v1/completions', valid, { headers: { 'x-latency-budget-ms': 'soon' } });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).param).toBe('x-latency-budget-ms');
  });
});

describe('what clients send without meaning anything by it is accepted', () => {
  test.each([
    { n: 1, best_of: 1, echo: false, logprobs: null, suffix: null, frequency_penalty: 0, presence_penalty: 0, repetition_penalty: 1, min_p: 0, max_words: null },
    { suffix: '', best_of: 1, stream: true },
    { max_tokens: null, temperature: null, stop: null, logit_bias: null, seed: null, stream: false, user: 'someone' },
    { response_format: { type: 'text' } },
    { an_unknown_field: { nested: true } },
    { stop: [] },
    { service_tier: 'scale' },
  ])('%j', async (fields) => {
    expect((await complete(fields)).status).toBe(200);
  });
});

describe('what reaches the engine', () => {
  const asked = async (fields: object) => {
    expect((await complete(fields)).status).toBe(200);
    return engine.calls.at(-1)!.options;
  };

  test('every field in the engine\'s units', async () => {
    const options = await asked({
      prompt: 'Où',
      max_tokens: 7,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      frequency_penalty: 0.5,
      presence_penalty: -0.5,
      repetition_penalty: 1.5,
      max_words: 4,
      logprobs: 2,
      seed: 3,
      stop: ['\n', 'é'],
      logit_bias: { 65: -100, 255: 2.5 },
    });
    expect(options).toMatchObject({ maxBytes: 7, temperature: 0.5, topP: 0.9, topK: 40, seed: 3 });
    expect(options).toMatchObject({ minP: 0.05, frequencyPenalty: 0.5, presencePenalty: -0.5, repetitionPenalty: 1.5, maxWords: 4, logprobs: 2 });
    expect([...options.prompt]).toEqual([0x4f, 0xc3, 0xb9]);
    expect(options.stop.map((stop) => [...stop])).toEqual([[0x0a], [0xc3, 0xa9]]);
    expect([...options.logitBias]).toEqual([[65, -100], [255, 2.5]]);
  });

  test('the defaults of the API, and no seed', async () => {
    const options = await asked({});
    expect(options).toMatchObject({ maxBytes: 64, temperature: 1, topP: 1, topK: 0, seed: undefined, stop: [] });
  });

  test('max_completion_tokens where max_tokens is absent', async () => {
    expect((await asked({ max_completion_tokens: 9 })).maxBytes).toBe(9);
    expect((await asked({ max_completion_tokens: 9, max_tokens: 5 })).maxBytes).toBe(5);
  });

  test('log-probabilities only where somebody wants them: for the answer, or to find the best of several', async () => {
    expect((await asked({})).logprobs).toBeUndefined();
    expect((await asked({ n: 2, best_of: 2 })).logprobs).toBeUndefined();
    expect((await asked({ best_of: 2 })).logprobs).toBe(0);
    expect((await asked({ logprobs: 0 })).scoresPrompt).toBeUndefined();
    expect((await asked({ logprobs: 0, echo: true })).scoresPrompt).toBe(true);
    expect((await asked({ echo: true })).scoresPrompt).toBeUndefined();
  });

  test('raw bytes as they are, even where they are no UTF-8', async () => {
    expect([...(await asked({ prompt: [0xff, 0x00, 0x80] })).prompt]).toEqual([0xff, 0x00, 0x80]);
    expect([...(await asked({ prompt: [] })).prompt]).toEqual([]);
    // The begin of a text, which every text has.
    expect([...(await asked({ prompt: [256, 97] })).prompt]).toEqual([97]);
  });

  test('a deadline inside the latency budget', async () => {
    const before = performance.timeOrigin + performance.now();
    const { deadlineAtMs } = await asked({ latency_budget_ms: 500 });
    const after = performance.timeOrigin + performance.now();
    expect(deadlineAtMs).toBeGreaterThan(before + 400);
    expect(deadlineAtMs).toBeLessThanOrEqual(after + 500);
  });
});

describe('a body that cannot be read', () => {
  const send = (body: string | Uint8Array | ReadableStream, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
    fetch(`${server.url}/v1/completions`, { method: 'POST', headers, body, duplex: 'half' } as RequestInit);

  test.each(['', '{', '{"model":"stlm-auto","prompt":NaN}', 'model=stlm-auto', '[1,2'])('broken JSON: %j', async (body) => {
    const response = await send(body);
    expect(response.status).toBe(400);
    expect((await errorOf(response)).code).toBe('invalid_body');
  });

  test.each(['null', '7', '"text"', '[]'])('JSON that is no object: %s', async (body) => {
    const response = await send(body);
    expect(response.status).toBe(400);
    expect((await errorOf(response)).code).toBe('invalid_body');
  });

  test('bytes that are not UTF-8', async () => {
    const [head, tail] = ['{"model":"stlm-auto","prompt":"', '"}'].map((part) => new TextEncoder().encode(part));
    const response = await send(Uint8Array.from([...head!, 0xc3, 0x28, ...tail!]));
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toContain('UTF-8');
  });

  test('two MiB, announced by content-length', async () => {
    const response = await complete({ prompt: 'x'.repeat(2 << 20) });
    expect(response.status).toBe(413);
    expect((await errorOf(response)).code).toBe('body_too_large');
  });

  test('two MiB in chunks of unannounced size', async () => {
    const chunk = new TextEncoder().encode('x'.repeat(1 << 16));
    let left = 32;
    const body = new ReadableStream({
      pull(controller) {
        if (left === 0) return controller.close();
        left -= 1;
        controller.enqueue(chunk);
      },
    });
    expect((await send(body)).status).toBe(413);
  });

  test('a chunked body below the limit is read whole', async () => {
    const text = JSON.stringify({ ...valid, prompt: 'x'.repeat(1 << 19) });
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < text.length; at += 10_000) controller.enqueue(new TextEncoder().encode(text.slice(at, at + 10_000)));
        controller.close();
      },
    });
    expect((await send(body)).status).toBe(200);
    expect(engine.calls.at(-1)!.options.prompt).toHaveLength(1 << 19);
  });
});
