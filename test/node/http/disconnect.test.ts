import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { endless, says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

let engine: ScriptedEngine;
let server: TestServer;
beforeEach(async () => {
  engine = new ScriptedEngine(endless);
  server = await listen(engine);
});
afterEach(() => server.close());

/** A raw request on a raw socket, so that leaving is leaving: no agent keeps the connection. */
async function send(fields: object): Promise<Socket> {
  const body = JSON.stringify({ model: 'stlm-auto', prompt: 'Once', max_tokens: 4_000, ...fields });
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(`POST /v1/completions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  return socket;
}

describe('a client that leaves', () => {
  test.each([
    ['a stream', true],
    ['a whole answer', false],
  ])('%s: its compute ends', async (_name, stream) => {
    const socket = await send({ stream });
    await expect.poll(() => engine.calls.length).toBe(1);
    if (stream) await once(socket, 'data');
    const { signal } = engine.calls[0]!;
    expect(signal.aborted).toBe(false);
    const aborted = once(signal, 'abort');
    socket.destroy();
    await aborted;
    await expect.poll(() => engine.calls[0]!.ended).toBe(true);
    await expect.poll(() => server.log).toContainEqual(expect.objectContaining({ message: 'answered', status: 499 }));
    expect(server.log).not.toContainEqual(expect.objectContaining({ message: 'stream failed' }));
  });

  test('while it is still sending is no failure of ours', async () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write('POST /v1/completions HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n{"model":');
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await expect.poll(() => server.log).toContainEqual(expect.objectContaining({ message: 'answered', status: 499 }));
    expect(server.log).not.toContainEqual(expect.objectContaining({ message: 'request failed' }));
  });

  test('leaves nothing in flight behind', async () => {
    const sockets = await Promise.all(Array.from({ length: 20 }, (_, index) => send({ stream: index % 2 === 0 })));
    await expect.poll(() => engine.calls.length).toBe(20);
    for (const socket of sockets) socket.destroy();
    await server.drain.start();
    expect(engine.calls.every(({ ended }) => ended)).toBe(true);
  });
});

test('a client that stops reading does not keep its place on the worker', async () => {
  const megabyte = 'word '.repeat(200_000);
  engine = new ScriptedEngine(says(Array.from({ length: 32 }, () => megabyte)));
  await server.close();
  server = await listen(engine);
  const socket = await send({ stream: true });
  socket.pause();
  await expect.poll(() => engine.calls[0]?.ended).toBe(true);
  await server.drain.start();
  socket.destroy();
});
