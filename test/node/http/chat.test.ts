import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { countPromptPatches, SPECIAL } from '../../../functions/engine/patch.js';
import { type ChatChunk, chatChunkSchema, type ChatCompletion, chatCompletionSchema, type ChatMessage } from '../../../functions/schema/chat.js';
import { endless, type Script, says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';
import { readChunks } from './sse.js';

const TIERS = ['stlm-small', 'stlm-large'].map((id) => ({ id, state: 'ready' as const }));

/**
 * Ids by `reply_prompt` of Python, from messages in the form that its training data has them. After a change of either, write them anew:
 *
 *     cd model-core && .venv/bin/python -c '
 *     import json
 *     from stlm.chat import reply_prompt
 *     from stlm.dialogue import record_turns
 *     from stlm.patch import PatchRule
 *     path = "../test/fixtures/chat-prompts.json"
 *     chats = [case["messages"] for case in json.load(open(path))]
 *     answered = [record_turns({"messages": [*chat, {"role": "assistant", "content": "x"}]}) for chat in chats]
 *     cases = [{"messages": chat, "ids": reply_prompt(turns[:-1], PatchRule.load()).tolist()} for chat, turns in zip(chats, answered)]
 *     open(path, "w").write("[\n " + ",\n ".join(map(json.dumps, cases)) + "\n]\n")'
 */
const python = JSON.parse(readFileSync('test/fixtures/chat-prompts.json', 'utf8')) as { messages: ChatMessage[]; ids: number[] }[];

let engine: ScriptedEngine;
let server: TestServer;
afterEach(() => server.close());

const hello = [{ role: 'user', content: 'Hello!' }];

async function open(script: Script = says(['ok']), chatTiers: readonly string[] = ['stlm-small', 'stlm-large']): Promise<void> {
  engine = new ScriptedEngine(script, TIERS, chatTiers);
  server = await listen(engine);
}

const ask = (fields: object = {}) => server.post('/v1/chat/completions', { model: 'stlm-auto', messages: hello, ...fields });

async function answer(fields: object = {}): Promise<Response> {
  const response = await ask(fields);
  expect(response.status).toBe(200);
  return response;
}
const body = async (fields: object = {}) => (await (await answer(fields)).json()) as ChatCompletion;
const chunks = async (fields: object = {}) => readChunks<ChatChunk>(await answer({ ...fields, stream: true }));
/** What the engine was given, as one document. */
const document = () => [SPECIAL.bod, ...engine.calls.at(-1)!.options.prompt];

describe('a chat', () => {
  test('is answered in the shape of the OpenAI API and of its own schema', async () => {
    await open(says(['Hi ', 'there.']));
    const completion = await body();
    expect(chatCompletionSchema.parse(completion)).toEqual(completion);
    expect(completion).toMatchObject({
      object: 'chat.completion',
      model: 'stlm-large',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hi there.', refusal: null }, logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 9, completion_tokens: 9, total_tokens: 18, prompt_tokens_details: { cached_tokens: 0 } },
      stlm: { tier: 'stlm-large', stop_cause: 'eod', context_truncated: false },
    });
    expect(completion.id).toMatch(/^chatcmpl-/);
  });

  test('has the headers of a completion', async () => {
    await open();
    const { headers } = await answer();
    expect(headers.get('x-stlm-model')).toBe('stlm-large');
    expect(headers.get('server-timing')).toContain('decode;dur=');
  });

  test.each([
    ['eod', 'stop'],
    ['stop', 'stop'],
    ['length', 'length'],
    ['context', 'length'],
    ['deadline', 'length'],
  ] as const)('that ended by %s finishes with %s', async (cause, reason) => {
    await open(says([' ok\n'], cause));
    expect((await body()).choices[0]).toMatchObject({ message: { content: ' ok\n' }, finish_reason: reason });
    expect((await chunks()).map(({ choices }) => choices[0]!.finish_reason)).toEqual([null, null, reason]);
  });

  test('that runs out of time before any text is refused, not answered with nothing', async () => {
    await open(says([], 'deadline'));
    for (const stream of [false, true]) expect((await ask({ stream })).status).toBe(429);
  });
});

test('more alternatives than one body tells are refused by name, but to a stream', async () => {
  await open();
  const fields = { n: 8, max_tokens: 781, logprobs: true, top_logprobs: 20 };
  const response = await ask(fields);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { param: 'top_logprobs', code: 'invalid_value' } });
  await answer({ ...fields, max_tokens: 780 });
  await answer({ ...fields, stream: true });
});

describe('a stream', () => {
  test('says the role, then the text, then once why it ended, with the report', async () => {
    await open(says(['Hi ', 'there.'], 'length'));
    const all = await chunks();
    for (const chunk of all) expect(chatChunkSchema.parse(chunk)).toEqual(chunk);
    expect(all.map(({ choices }) => choices[0]!.delta)).toEqual([{ role: 'assistant', content: '' }, { content: 'Hi ' }, { content: 'there.' }, {}]);
    expect(all.map(({ choices }) => choices[0]!.finish_reason)).toEqual([null, null, null, 'length']);
    expect(all.map(({ stlm }) => stlm?.tier)).toEqual([undefined, undefined, undefined, 'stlm-large']);
    expect(all.every((chunk) => chunk.object === 'chat.completion.chunk' && !('usage' in chunk))).toBe(true);
    expect(new Set(all.map(({ id }) => id)).size).toBe(1);
  });

  test('with include_usage has it right before [DONE], without choices', async () => {
    await open(says(['Hi ', 'there.']));
    const all = await chunks({ stream_options: { include_usage: true } });
    expect(all.at(-1)).toMatchObject({ object: 'chat.completion.chunk', choices: [], usage: { prompt_tokens: 9, completion_tokens: 9, total_tokens: 18, prompt_tokens_details: { cached_tokens: 0 } } });
    expect(all.slice(0, -1).map(({ usage }) => usage)).toEqual([null, null, null, null]);
  });

  test('of no text still says the role first', async () => {
    await open(says([]));
    expect((await chunks()).map(({ choices }) => choices[0]!.delta)).toEqual([{ role: 'assistant', content: '' }, {}]);
  });

  test.each([true, false])('whose client leaves ends its compute (streamed: %s)', async (stream) => {
    await open(endless);
    const leave = new AbortController();
    const left = server.post('/v1/chat/completions', { model: 'stlm-auto', messages: hello, stream }, { signal: leave.signal }).catch(() => undefined);
    await expect.poll(() => engine.calls.length).toBe(1);
    expect(engine.calls[0]!.signal.aborted).toBe(false);
    leave.abort();
    await expect.poll(() => engine.calls[0]!.ended).toBe(true);
    await left;
    await server.drain.start();
  });
});

describe('the prompt', () => {
  test.each(python.map((one) => [one.messages.map(({ content }) => content).join(' / '), one] as const))('is what Python makes of %j', async (_name, { messages, ids }) => {
    await open();
    await body({ messages });
    expect(document()).toEqual(ids);
  });

  test.each([
    ['a developer for a system message', [{ role: 'developer', content: 'Be kind.' }, ...hello], 'system: Be kind.|user: Hello!'],
    ['several of them as one', [{ role: 'system', content: 'Be kind.' }, { role: 'developer', content: 'Be brief.' }, ...hello], 'system: Be kind.\nBe brief.|user: Hello!'],
    ['instructions alone as what is asked', [{ role: 'developer', content: 'Be kind.' }, { role: 'system', content: 'Be brief.' }], 'user: Be kind.\nBe brief.'],
    ['parts of text as lines', [{ role: 'system', content: [{ type: 'text', text: 'Be' }, { type: 'text', text: 'kind.' }] }, ...hello], 'system: Be\nkind.|user: Hello!'],
    ['an answer as it was given', [...hello, { role: 'assistant', content: 'Hi.', refusal: null }, ...hello], 'user: Hello!|assistant: Hi.|user: Hello!'],
  ])('takes %s', async (_name, messages, turns) => {
    await open();
    await body({ messages });
    const names = new Map([263, 264, 265].map((id, index) => [id, `${['system', 'user', 'assistant'][index]}: `]));
    const read = document().slice(1).map((id) => names.get(id) ?? (id === 266 ? '|' : String.fromCodePoint(id))).join('');
    expect(read).toBe(`${turns}|assistant: `);
  });

  test('is of a class whose lengths are no completion\'s, stop strings or not', async () => {
    await open();
    for (const stop of [[], ['\n']]) await body({ stop, latency_budget_ms: 60_000 });
    for (const stop of [[], ['\n']]) await server.post('/v1/completions', { model: 'stlm-auto', prompt: 'Once', stop, latency_budget_ms: 60_000 });
    const classes = server.records.flatMap((record) => (record.event === 'decision' ? [record.request.lengthClass] : []));
    expect(classes).toEqual(['chat', 'chat', 'plain', 'stop']);
  });

  test('of a completion cannot hold a special', async () => {
    await open();
    await server.post('/v1/completions', { model: 'stlm-auto', prompt: '<|assistant|>' });
    expect(engine.calls.at(-1)!.options.prompt).toBeInstanceOf(Uint8Array);
    expect((await server.post('/v1/completions', { model: 'stlm-auto', prompt: [265] })).status).toBe(400);
  });

  test('leaves out the oldest turns when it outgrows the context, and says so', async () => {
    await open();
    const turns = Array.from({ length: 400 }, (_, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content: `turn number ${index}` }));
    const { stlm, usage } = await body({ messages: [{ role: 'system', content: 'Be kind.' }, ...turns, ...hello] });
    expect(stlm.context_truncated).toBe(true);
    const ids = document();
    expect(usage.prompt_tokens).toBe(ids.length - 1);
    expect(ids.slice(1, 11)).toEqual([263, ...new TextEncoder().encode('Be kind.'), 266]);
    expect([264, 265]).toContain(ids[11]);
    expect(ids.slice(-9)).toEqual([264, ...new TextEncoder().encode('Hello!'), 266, 265]);
    expect(ids.length).toBeGreaterThan(3_000);
  });

  test('of a long chat leaves room for a whole reply in the shortest of words', async () => {
    await open();
    const turns = Array.from({ length: 800 }, (_, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content: `turn ${index}` }));
    await body({ messages: [...turns, ...hello], max_tokens: 1_200, latency_budget_ms: 60_000 });
    const reply = new TextEncoder().encode('it had a cat to '.repeat(75));
    const replyPatches = countPromptPatches(reply) - 1;
    const bytesPerPatch = engine.manifests[0]!.bytesPerPatch;
    expect(replyPatches).toBeGreaterThan((1.4 * reply.length) / bytesPerPatch);
    expect(countPromptPatches(engine.calls.at(-1)!.options.prompt) + replyPatches).toBeLessThanOrEqual(engine.manifests[0]!.context.patches);
  });
});

describe('a tier that was not tuned to chat', () => {
  test('is refused when pinned', async () => {
    await open(says(['ok']), ['stlm-large']);
    const response = await ask({ model: 'stlm-small@80ms' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'model_not_chat', param: 'model', type: 'invalid_request_error' } });
    expect((await ask({ model: 'stlm-none' })).status).toBe(404);
  });

  test('is not routed to, though it is larger, and still completes', async () => {
    await open(says(['ok']), ['stlm-small']);
    const { model, stlm } = await body();
    expect([model, stlm.route_reason]).toEqual(['stlm-small', 'fits']);
    const completion = await server.post('/v1/completions', { model: 'stlm-auto', prompt: 'Once' });
    expect(await completion.json()).toMatchObject({ model: 'stlm-large' });
  });

  test('leaves nothing to route over where there is no other', async () => {
    await open(says(['ok']), []);
    const response = await ask();
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'model_not_chat', param: 'model' } });
    expect(engine.calls).toHaveLength(0);
  });

  test('says so in the list of models', async () => {
    await open(says(['ok']), ['stlm-small']);
    const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { stlm?: { chat: boolean } }[] };
    expect(data.map(({ stlm }) => stlm?.chat)).toEqual([undefined, true, false]);
  });
});

describe('a wrong field is refused by name', () => {
  const user = (content: unknown) => ({ role: 'user', content });
  test.each([
    ['model', 7],
    ['messages', undefined],
    ['messages', 'Hello!'],
    ['messages', []],
    ['messages', Array.from({ length: 1_025 }, () => user('Hello!'))],
    ['messages', [user(null)]],
    ['messages', [user(7)]],
    ['messages', [user([])]],
    ['messages', [user(' \n')]],
    ['messages', [user([{ type: 'image_url', image_url: { url: 'data:' } }])]],
    ['messages', [user(Array.from({ length: 17 }, () => ({ type: 'text', text: 'x' })))]],
    ['messages', [{ role: 'tool', content: 'x', tool_call_id: '1' }, ...hello]],
    ['messages', [...hello, { role: 'system', content: 'Be kind.' }, ...hello]],
    ['messages', [...hello, { role: 'assistant', content: 'Hi' }]],
    ['messages', [{ role: 'system', content: ' ' }]],
    ['messages', [{ ...user('x'), name: 'Ann' }]],
    ['messages', [{ role: 'assistant', content: 'x', tool_calls: [{}] }, ...hello]],
    ['max_tokens', 0],
    ['max_completion_tokens', 4_097],
    ['temperature', 3],
    ['stop', ['']],
    ['logit_bias', { 265: 1 }],
    ['stream_options', { include_usage: true }],
    ['latency_budget_ms', 0],
    ['n', 9],
    ['logprobs', 1],
    ['top_logprobs', 3],
    ['top_logprobs', 21],
    ['max_tokens', 0],
    ['frequency_penalty', 3],
    ['presence_penalty', 3],
    ['repetition_penalty', -1],
    ['min_p', 2],
    ['max_words', 'three'],
    ['regex', '('],
    ['response_format', { type: 'yaml' }],
    ['response_format', { type: 'json_schema', json_schema: { schema: { type: 'integer', multipleOf: 2 } } }],
    ['tools', [{ type: 'function', function: { name: 'f' } }]],
    ['tool_choice', 'required'],
    ['functions', [{ name: 'f' }]],
    ['function_call', { name: 'f' }],
    ['modalities', ['text', 'audio']],
    ['audio', { voice: 'ash' }],
    ['prediction', { type: 'content', content: 'x' }],
    ['reasoning_effort', 'high'],
    ['verbosity', 'low'],
    ['web_search_options', {}],
    ['store', true],
  ])('%s: %j', async (field, value) => {
    await open();
    const response = await ask({ [field]: value });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(error.param).toBe(field);
    expect(error.message).toContain(field);
    expect(engine.calls).toHaveLength(0);
  });

  test.each([
    [{ role: 'tool', content: 'x' }, /^messages\.1\.role: .*"user"/],
    [{ role: 'user', content: 7 }, /^messages\.1\.content: expected a string, or an array of 1 to 16 parts of the type text$/],
    [{ role: 'system', content: 'x' }, /^messages\.1\.role: expected system and developer messages before all others$/],
  ])('with the place of the message at fault: %j', async (wrong, text) => {
    await open();
    const { error } = (await (await ask({ messages: [...hello, wrong, ...hello] })).json()) as { error: { message: string } };
    expect(error.message).toMatch(text);
  });

  test('and what clients send without meaning anything by it is accepted', async () => {
    await open();
    const idle = { n: 1, logprobs: false, top_logprobs: null, tools: [], tool_choice: 'none', parallel_tool_calls: true, response_format: { type: 'text' } };
    expect(await body({ ...idle, modalities: ['text'], store: false, metadata: { a: 'b' }, user: 'someone', frequency_penalty: 0, temperature: null })).toMatchObject({ model: 'stlm-large' });
  });
});

test('every field of sampling reaches the engine', async () => {
  await open();
  await body({ max_completion_tokens: 9, temperature: 0.5, top_p: 0.9, top_k: 40, seed: 3, stop: '\n', logit_bias: { 65: -100 } });
  const { options } = engine.calls[0]!;
  expect(options).toMatchObject({ maxBytes: 9, temperature: 0.5, topP: 0.9, topK: 40, seed: 3, stop: [Uint8Array.of(10)] });
  expect([...options.logitBias]).toEqual([[65, -100]]);
});

test('neither messages nor replies are in the log', async () => {
  await open(says(['confidential answer']));
  await body({ messages: [{ role: 'user', content: 'confidential question' }] });
  expect(server.log).not.toHaveLength(0);
  expect(JSON.stringify(server.log)).not.toContain('confidential');
});
