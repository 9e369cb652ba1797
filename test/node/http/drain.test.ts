import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Completion } from '../../../functions/schema/completion.js';
import { ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';
import { readChunks } from './sse.js';

let finish: () => void;
let engine: ScriptedEngine;
let server: TestServer;

beforeEach(async () => {
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  engine = new ScriptedEngine(async function* untilTold({ prompt }, signal) {
    if (prompt.length === 3) {
      yield new TextEncoder().encode('golden');
      return 'length';
    }
    yield new TextEncoder().encode('word ');
    await Promise.race([finished, new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))]);
    return signal.aborted ? 'cancelled' : 'eod';
  });
  server = await listen(engine);
});
afterEach(() => server.close());

const request = (stream: boolean) => server.post('/v1/completions', { model: 'stlm-auto', prompt: 'Once', stream });

/** A body that comes slowly, its end when asked. */
function slowBody(body: object) {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  let finish!: () => void;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.slice(0, 5));
      finish = () => {
        controller.enqueue(bytes.slice(5));
        controller.close();
      };
    },
  });
  return { stream, finish };
}

describe('a draining server', () => {
  test('refuses new work with a 503 that says when to come back', async () => {
    await server.drain.start();
    const response = await request(false);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ error: { code: 'draining' } });
    expect(engine.calls).toHaveLength(0);
  });

  test('is alive but not ready', async () => {
    await server.drain.start();
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    const ready = await fetch(`${server.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ ready: false, draining: true });
  });

  test('finishes what is in flight, and only then is drained', async () => {
    const stream = await request(true);
    let drained = false;
    const draining = server.drain.start().then(() => {
      drained = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(drained).toBe(false);
    finish();
    expect((await readChunks(stream)).at(-1)!.stlm!.stop_cause).toBe('eod');
    await draining;
  });

  test('tells everyone who asked that it is drained', async () => {
    const stream = await request(true);
    const draining = [server.drain.start(), server.drain.start()];
    finish();
    await readChunks(stream);
    expect(await Promise.all([...draining, server.drain.start()])).toHaveLength(3);
  });

  test('waits for a request whose body it has begun to read', async () => {
    const { stream, finish: finishBody } = slowBody({ model: 'stlm-auto', prompt: 'say' });
    const answer = fetch(`${server.url}/v1/completions`, { method: 'POST', body: stream, duplex: 'half' } as RequestInit);
    await new Promise((resolve) => setTimeout(resolve, 100));
    let drained = false;
    const draining = server.drain.start().then(() => {
      drained = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(drained).toBe(false);
    finishBody();
    expect((await answer).status).toBe(200);
    await draining;
  });

  test('answers what it cuts with the text so far', async () => {
    const stream = await request(true);
    const whole = request(false);
    while (engine.calls.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    const draining = server.drain.start();
    server.drain.cut();
    const completion = (await (await whole).json()) as Completion;
    expect(completion).toMatchObject({ choices: [{ text: 'word ', finish_reason: 'length' }], stlm: { stop_cause: 'cancelled' } });
    expect((await readChunks(stream)).at(-1)!.stlm!.stop_cause).toBe('cancelled');
    await draining;
  });
});
