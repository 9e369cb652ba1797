/** The client on a real socket, against a real server whose engine plays a script; failures the server would have to be broken for come from a fake `fetch`. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  ApiError,
  BudgetInfeasibleError,
  ConnectionError,
  InvalidRequestError,
  NotFoundError,
  OverloadedError,
  ProtocolError,
  Stlm,
  tiered,
} from '../../../functions/client/index.js';
import { endless, says, type Script, ScriptedEngine } from '../http/scripted-engine.js';
import { listen, type TestServer } from '../http/server.js';

let server: TestServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function serving(script: Script, chatTiers: readonly string[] = []): Promise<{ stlm: Stlm; engine: ScriptedEngine }> {
  const engine = new ScriptedEngine(script, undefined, chatTiers);
  server = await listen(engine);
  return { stlm: new Stlm({ baseUrl: `${server.url}/v1/`, budgetMs: 5_000 }), engine };
}

/** Answers each call with the next of `answers`, and remembers the bodies it was sent. */
function scriptedFetch(answers: readonly (Response | Error)[]) {
  const bodies: Record<string, unknown>[] = [];
  const send: typeof fetch = async (_url, init) => {
    bodies.push(JSON.parse(String(init?.body)) as Record<string, unknown>);
    const answer = answers[bodies.length - 1]!;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { bodies, stlm: (options: { maxRetries?: number } = {}) => new Stlm({ baseUrl: 'http://x/v1', fetch: send, ...options }) };
}

const full = (retryAfterMs: number) =>
  Response.json({ error: { message: 'full', type: 'overloaded', param: null, code: 'overloaded' } }, { status: 429, headers: { 'retry-after-ms': String(retryAfterMs) } });
const completion = () => Response.json({ choices: [{ text: 'at last' }] });

describe('the client', () => {
  test('completes, and says which tier did', async () => {
    const { stlm } = await serving(says(['once ', 'more']));
    const { choices, stlm: report } = await stlm.complete({ prompt: 'say it ' });
    expect(choices[0]!.text).toBe('once more');
    expect(report).toMatchObject({ tier: 'stlm-small', budget_ms: expect.closeTo(5_000, -2), budget_source: 'latency_budget_ms' });
  });

  test('streams the pieces as they are written, the report with the last', async () => {
    const { stlm } = await serving(says(['once ', 'more']));
    const pieces = [];
    for await (const piece of stlm.stream({ prompt: 'say it ' })) pieces.push(piece);
    expect(pieces.map(({ text }) => text).join('')).toBe('once more');
    expect(pieces.map(({ stlm: report }) => report?.tier)).toEqual([...pieces.slice(1).map(() => undefined), 'stlm-small']);
    expect(pieces.at(-1)!.finishReason).toBe('stop');
  });

  test('chats, whole and in pieces', async () => {
    const { stlm } = await serving(says(['Hello ', 'you']), ['stlm-small']);
    const messages = [{ role: 'user' as const, content: 'Hello!' }];
    expect((await stlm.chat({ messages })).choices[0]!.message.content).toBe('Hello you');
    let text = '';
    for await (const piece of stlm.streamChat({ messages })) text += piece.text;
    expect(text).toBe('Hello you');
  });

  test('asks for the route without running anything, and lists the models', async () => {
    const { stlm, engine } = await serving(says(['x']));
    expect(await stlm.route({ prompt: 'say', budgetMs: 300 })).toMatchObject({ outcome: 'admitted', tier: 'stlm-small' });
    expect(engine.calls).toHaveLength(0);
    expect((await stlm.models()).map(({ id }) => id)).toEqual(['stlm-auto', 'stlm-small']);
    expect((await stlm.model('stlm-small')).owned_by).toBe('stlm');
  });

  test('gives each use of text its own budget', async () => {
    const { stlm } = await serving(says(['x']));
    const text = tiered(stlm, { typeahead: 80, compose: 600 });
    const budgets = [await text.typeahead({ prompt: 'Dear ' }), await text.compose({ prompt: 'Dear ' })].map(({ stlm: report }) => report.budget_ms);
    expect(budgets).toEqual([80, 600]);
    const pieces = [];
    for await (const piece of text.compose.stream({ prompt: 'Dear ' })) pieces.push(piece);
    expect(pieces.at(-1)!.stlm!.budget_ms).toBe(600);
  });

  test('names the field at fault, the unknown model, the budget that would do', async () => {
    const { stlm } = await serving(says(['x']));
    await expect(stlm.complete({ prompt: 'x', temperature: 9 })).rejects.toThrow(InvalidRequestError);
    await expect(stlm.complete({ prompt: 'x', temperature: 9 })).rejects.toMatchObject({ param: 'temperature', status: 400, requestId: expect.any(String) });
    await expect(stlm.model('gpt-9')).rejects.toThrow(NotFoundError);
    const hasty = stlm.complete({ prompt: 'x', budgetMs: 0.001 });
    await expect(hasty).rejects.toThrow(BudgetInfeasibleError);
    await expect(hasty).rejects.toMatchObject({ cheapestFeasibleMs: expect.any(Number) });
  });

  test('ends the work on the server when it leaves a stream, or aborts', async () => {
    const { stlm, engine } = await serving(endless);
    for await (const _ of stlm.stream({ prompt: 'x' })) break;
    await expect.poll(() => engine.calls[0]!.ended).toBe(true);

    const abort = new AbortController();
    const text = stlm.complete({ prompt: 'x' }, { signal: abort.signal });
    await expect.poll(() => engine.calls.length).toBe(2);
    abort.abort();
    await expect(text).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => engine.calls[1]!.ended).toBe(true);
  });

  test('tries again when the server says so, with what is left of the budget', async () => {
    const { bodies, stlm } = scriptedFetch([full(60), new TypeError('fetch failed'), completion()]);
    expect((await stlm().complete({ prompt: 'x', budgetMs: 1_000 })).choices[0]!.text).toBe('at last');
    const budgets = bodies.map((body) => body['latency_budget_ms'] as number);
    expect(budgets[0]).toBeGreaterThan(990);
    expect(budgets[1]).toBeLessThanOrEqual(940);
    expect(budgets[2]).toBeLessThan(budgets[1]!);
  });

  test('does not wait for what would come after the budget', async () => {
    const { bodies, stlm } = scriptedFetch([full(5_000)]);
    const refused = stlm().complete({ prompt: 'x', budgetMs: 1_000 });
    await expect(refused).rejects.toThrow(OverloadedError);
    await expect(refused).rejects.toMatchObject({ retryAfterMs: 5_000 });
    expect(bodies).toHaveLength(1);
  });

  test('gives up a wait when it is aborted', async () => {
    const { stlm } = scriptedFetch([full(60_000), completion()]);
    const signal = AbortSignal.timeout(20);
    await expect(stlm().complete({ prompt: 'x', budgetMs: 600_000 }, { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  test('leaves the budget to the server when none is named', async () => {
    const { bodies, stlm } = scriptedFetch([completion()]);
    await stlm().complete({ prompt: 'x' });
    expect(bodies).toEqual([{ prompt: 'x', model: 'stlm-auto' }]);
  });

  test('tells a server that is not there from one that answers nonsense', async () => {
    await expect(new Stlm({ baseUrl: 'http://127.0.0.1:9/v1', maxRetries: 0 }).models()).rejects.toThrow(ConnectionError);
    await expect(scriptedFetch([new Response('<html>')]).stlm().complete({ prompt: 'x' })).rejects.toThrow(ProtocolError);
    await expect(scriptedFetch([new Response('<html>', { status: 502 })]).stlm().complete({ prompt: 'x' })).rejects.toMatchObject({ name: 'ApiError', status: 502 });
  });

  test('does not take a stream that broke off for a whole one, nor an error in it for text', async () => {
    const read = async (wire: string) => {
      for await (const _ of scriptedFetch([new Response(wire)]).stlm().stream({ prompt: 'x' })) void _;
    };
    await expect(read('data: {"choices":[]}\n\n')).rejects.toThrow(ProtocolError);
    await expect(read('data: {"error":{"message":"broken","type":"server_error","param":null,"code":null}}\n\n')).rejects.toThrow(ApiError);
    await expect(read('data: {"choices":[]}\n\ndata: [DONE]\n\n')).resolves.toBeUndefined();
  });
});
