import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FromWorker } from '../../functions/engine/messages.js';
import { Outbox } from '../../functions/engine/outbox.js';

let sent: FromWorker[];
let outbox: Outbox;
beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  outbox = new Outbox((message) => sent.push(message));
});
afterEach(() => vi.useRealTimers());

const patch = (id: number, text: string) => outbox.send({ kind: 'text', id, pieces: [{ bytes: new TextEncoder().encode(text) }] });
const fail = (id: number) => outbox.send({ kind: 'failed', id, reason: 'broken' });
/** As 'id:patch|patch', an end as 'id.'. */
const told = () =>
  sent.map((message) => {
    if (message.kind === 'text') return `${message.id}:${message.pieces.map(({ bytes }) => new TextDecoder().decode(bytes)).join('|')}`;
    return message.kind === 'failed' ? `${message.id}.` : message.kind;
  });

describe('the outbox of a worker', () => {
  test('sends the first patch of each text at once', () => {
    patch(1, 'a');
    patch(2, 'b');
    expect(told()).toEqual(['1:a', '2:b']);
  });

  test('sends what follows together, each text in order and patch by patch', () => {
    for (const text of 'abcd') patch(1, text);
    patch(2, 'x');
    patch(2, 'y');
    expect(told()).toEqual(['1:a', '2:x']);
    vi.runAllTimers();
    expect(told()).toEqual(['1:a', '2:x', '1:b|c|d', '2:y']);
  });

  test('keeps no patch for longer than a few milliseconds, though nothing follows it', () => {
    patch(1, 'a');
    patch(1, 'b');
    vi.advanceTimersByTime(10);
    expect(told()).toEqual(['1:a', '1:b']);
    patch(1, 'c');
    vi.advanceTimersByTime(10);
    expect(told()).toEqual(['1:a', '1:b', '1:c']);
  });

  test('tells the end of a text after all of it, and at once', () => {
    patch(1, 'a');
    patch(1, 'b');
    fail(1);
    expect(told()).toEqual(['1:a', '1:b', '1.']);
    vi.runAllTimers();
    expect(told()).toHaveLength(3);
  });

  test('holds back nothing but text', () => {
    patch(1, 'a');
    patch(1, 'b');
    outbox.send({ kind: 'loaded', tier: 'stlm-tiny', loadMs: 1 });
    expect(told()).toEqual(['1:a', 'loaded']);
  });
});
