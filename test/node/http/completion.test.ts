import { afterEach, describe, expect, test } from 'vitest';
import { type Completion, completionChunkSchema, completionSchema } from '../../../functions/schema/completion.js';
import { type Script, says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';
import { readChunks } from './sse.js';

let server: TestServer;
afterEach(() => server.close());

async function answer(script: Script, fields: object = {}): Promise<Response> {
  server = await listen(new ScriptedEngine(script));
  const response = await server.post('/v1/completions', { model: 'stlm-auto', prompt: 'Once', ...fields });
  expect(response.status).toBe(200);
  return response;
}
const body = async (script: Script, fields: object = {}) => (await (await answer(script, fields)).json()) as Completion;
const chunks = async (script: Script, fields: object = {}) => readChunks(await answer(script, { ...fields, stream: true }));

describe('a completion', () => {
  test('has the shape of the OpenAI API and of its own schema', async () => {
    const completion = await body(says(['upon ', 'a time']), { prompt: 'Où' });
    expect(completionSchema.parse(completion)).toEqual(completion);
    expect(completion).toMatchObject({
      object: 'text_completion',
      model: 'stlm-small',
      choices: [{ text: 'upon a time', index: 0, logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 11, total_tokens: 14, prompt_tokens_details: { cached_tokens: 0 } },
    });
    expect(completion.id).toMatch(/^cmpl-/);
    expect(Math.abs(completion.created - Date.now() / 1_000)).toBeLessThan(5);
  });

  test('reports what was promised and what came of it', async () => {
    const { stlm } = await body(says(['upon ', 'a time']), { latency_budget_ms: 800 });
    expect(stlm).toMatchObject({ tier: 'stlm-small', stop_cause: 'eod', load_state: 'warm', budget_ms: 800, budget_source: 'latency_budget_ms' });
    expect(stlm).toMatchObject({ queue_ms: 1, load_ms: 0, prefill_ms: 2, decode_ms: 3, bytes_per_second: 2_200 });
    // Two threads at 5 W for 5 ms.
    expect(stlm).toMatchObject({ energy_joules: 0.05, energy_source: 'cpu_time', energy_watts_per_core: 5 });
    expect(stlm.actual_ms).toBeGreaterThan(0);
    expect(stlm.time_to_first_byte_ms).toBeLessThanOrEqual(stlm.actual_ms);
  });

  test('says the same in headers', async () => {
    const response = await answer(says(['ok']));
    expect(response.headers.get('x-stlm-model')).toBe('stlm-small');
    expect(Number(response.headers.get('x-stlm-predicted-ms'))).toBeGreaterThan(0);
    expect(response.headers.get('x-stlm-route-reason')).toBe('fits');
    expect(response.headers.get('server-timing')).toMatch(/^queue;dur=1\.0, load;dur=0\.0, prefill;dur=2\.0, decode;dur=3\.0, total;dur=[\d.]+$/);
    expect(response.headers.get('openai-processing-ms')).toMatch(/^\d+$/);
    expect(response.headers.get('x-request-id')).toMatch(/^[\w-]{36}$/);
  });

  test.each([
    ['eod', 'stop'],
    ['stop', 'stop'],
    ['length', 'length'],
    ['deadline', 'length'],
  ] as const)('that ended by %s finishes with %s', async (cause, reason) => {
    const completion = await body(says(['ok'], cause));
    expect(completion.choices[0]!.finish_reason).toBe(reason);
    expect(completion.stlm.stop_cause).toBe(cause);
  });

  test('of several prompts has a choice each, in their order', async () => {
    const echo: Script = async function* echo({ prompt }) {
      if (prompt.length === 3) await new Promise((resolve) => setTimeout(resolve, 30));
      yield Uint8Array.from(prompt);
      return prompt.length === 3 ? 'deadline' : 'eod';
    };
    const completion = await body(echo, { prompt: ['one', 'four', '5'] });
    expect(completion.choices.map(({ text, index }) => [text, index])).toEqual([['one', 0], ['four', 1], ['5', 2]]);
    expect(completion.usage).toEqual({ prompt_tokens: 8, completion_tokens: 8, total_tokens: 16, prompt_tokens_details: { cached_tokens: 0 } });
    expect(completion.stlm.stop_cause).toBe('deadline');
  });
});

describe('a stream', () => {
  test('has the same text, one finish_reason and the report in its last chunk', async () => {
    const all = await chunks(says(['upon ', 'a time'], 'length'));
    for (const chunk of all) expect(completionChunkSchema.parse(chunk)).toEqual(chunk);
    expect(all.map((chunk) => chunk.choices[0]!.text)).toEqual(['upon ', 'a time', '']);
    expect(all.map((chunk) => chunk.choices[0]!.finish_reason)).toEqual([null, null, 'length']);
    expect(all.map((chunk) => chunk.stlm?.stop_cause)).toEqual([undefined, undefined, 'length']);
    expect(new Set(all.map(({ id }) => id)).size).toBe(1);
    expect(all.every((chunk) => !('usage' in chunk))).toBe(true);
  });

  test('with include_usage has it right before [DONE], without choices', async () => {
    const all = await chunks(says(['upon ', 'a time']), { stream_options: { include_usage: true } });
    expect(all.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 4, completion_tokens: 11, total_tokens: 15, prompt_tokens_details: { cached_tokens: 0 } } });
    expect(all.slice(0, -1).map(({ usage }) => usage)).toEqual([null, null, null]);
  });

  test('brings each chunk when it is there, and says so to proxies', async () => {
    let release = () => {};
    const later = new Promise<void>((resolve) => {
      release = resolve;
    });
    const response = await answer(
      async function* wait() {
        yield new TextEncoder().encode('first ');
        await later;
        yield new TextEncoder().encode('second');
        return 'eod';
      },
      { stream: true },
    );
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    const reader = response.body!.getReader();
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toContain('first ');
    release();
    for (let read = await reader.read(); !read.done; read = await reader.read());
  });

  test('that breaks ends with the error as a data line and [DONE]', async () => {
    const all = await chunks(async function* fail() {
      yield new TextEncoder().encode('first ');
      throw new Error('secret');
    });
    expect(all[0]!.choices[0]!.text).toBe('first ');
    expect(all.at(-1)).toMatchObject({ error: { type: 'server_error', code: 'internal_error' } });
    expect(JSON.stringify(all)).not.toContain('secret');
  });

  test('of several prompts interleaves them, each with its own end', async () => {
    const echo: Script = async function* echo({ prompt }) {
      yield Uint8Array.from(prompt);
      return 'eod';
    };
    const all = await chunks(echo, { prompt: ['one', 'two'] });
    for (const index of [0, 1]) {
      const own = all.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
      expect(own.map(({ text }) => text).join('')).toBe(['one', 'two'][index]);
      expect(own.map(({ finish_reason }) => finish_reason)).toEqual([null, 'stop']);
    }
    expect(all.filter((chunk) => chunk.stlm !== undefined)).toEqual([all.at(-1)]);
  });
});

describe('a character', () => {
  const euro = [0xe2, 0x82, 0xac];

  test('is held back until it is whole', async () => {
    const all = await chunks(says([[0x41, euro[0]!], [euro[1]!], [euro[2]!, 0x42]]));
    expect(all.map((chunk) => chunk.choices[0]!.text)).toEqual(['A', '€B', '']);
  });

  test('that never becomes whole is U+FFFD at the end, and its bytes are counted', async () => {
    const all = await chunks(says([[0x41, euro[0]!, euro[1]!]], 'length'), { stream_options: { include_usage: true } });
    expect(all.map((chunk) => chunk.choices[0]?.text)).toEqual(['A', '\ufffd', undefined]);
    expect(all.at(-1)!.usage!.completion_tokens).toBe(3);
    const whole = await body(says([[0x41, euro[0]!, euro[1]!]], 'length'));
    expect(whole.choices[0]!.text).toBe('A\ufffd');
  });

  test('at the beginning of a text stays even if it is a byte-order mark', async () => {
    expect((await body(says([[0xef, 0xbb, 0xbf, 0x41]]))).choices[0]!.text).toBe('\ufeffA');
  });

  test('of four bytes cut anywhere gives the same text', async () => {
    const bytes = [...new TextEncoder().encode('a😀é😀')];
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const all = await chunks(says([bytes.slice(0, cut), bytes.slice(cut)]));
      expect(all.map((chunk) => chunk.choices[0]!.text).join('')).toBe('a😀é😀');
      await server.close();
    }
    server = await listen(new ScriptedEngine(says([])));
  });
});
