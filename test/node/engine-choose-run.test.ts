import { describe, expect, test } from 'vitest';
import { chooseRun, type Waiting } from '../../functions/engine/choose-run.js';

interface Text extends Waiting {
  readonly name: string;
}

/** 2 ms for one text, and 1 ms more for each further one. */
const paceMs = (texts: number) => 1 + texts;

function text(name: string, deadlineMs: number, { runs = 10, readMs = 0, tier = 'a', sharing = true } = {}): Text {
  const shares = { tier, most: 4, readMs, runs, likelyMs: paceMs, cautiousMs: paceMs };
  return { name, deadlineMs, aloneMs: readMs + runs * paceMs(1), shares: sharing ? shares : undefined };
}

function chosen(...waiting: [Text, ...Text[]]): string {
  return chooseRun(waiting, 0).map(({ name }) => name).join('');
}

describe('the next run', () => {
  test('is for all texts of a tier that have no deadline, up to as many as fit', () => {
    const names = [...'abcdef'].map((name) => text(name, Infinity));
    expect(chosen(...(names as [Text, ...Text[]]))).toBe('abcd');
  });

  test('is for a text alone that shares none', () => {
    expect(chosen(text('s', Infinity, { sharing: false }), text('a', Infinity), text('b', Infinity))).toBe('s');
    expect(chosen(text('a', Infinity), text('s', Infinity, { sharing: false }), text('b', Infinity))).toBe('ab');
  });

  test('is for one tier, that of the first', () => {
    expect(chosen(text('a', Infinity), text('x', Infinity, { tier: 'x' }), text('b', Infinity))).toBe('ab');
  });

  test('is for the first alone where longer runs would make it late', () => {
    expect(chosen(text('a', 25), text('b', 1000))).toBe('a');
    expect(chosen(text('a', 30), text('b', 1000))).toBe('ab');
  });

  test('is for as many as the first has time for', () => {
    expect(chosen(text('a', 45), text('b', 1000), text('c', 1000), text('d', 1000))).toBe('abc');
  });

  test('leaves alone a first text that its deadline will cut anyway', () => {
    expect(chosen(text('a', 10), text('b', Infinity))).toBe('a');
  });

  test('does not make a text of another tier late that would have been in time', () => {
    // Alone in order x ends at 40; behind a shared run of 10 x 3 ms it would end at 50.
    expect(chosen(text('a', 100), text('x', 45, { tier: 'x' }), text('b', 1000))).toBe('a');
    expect(chosen(text('a', 40), text('x', 50, { tier: 'x' }), text('b', 1000))).toBe('ab');
  });

  test('may make a later text later that ends sooner than in order', () => {
    // In order b would end at 40, too late; together both end at 30.
    expect(chosen(text('a', 31), text('b', 32))).toBe('ab');
  });

  test('has room for nobody whose next deadline it would overrun', () => {
    expect(chosen(text('a', 1000, { runs: 1 }), text('b', 1000, { runs: 1 }))).toBe('ab');
    expect(chosen(text('a', 2.5, { runs: 1 }), text('b', 1000, { runs: 1 }))).toBe('a');
  });

  test('reads the prompt of a text that could then share, where there is time for both', () => {
    expect(chosen(text('a', 50), text('b', 1000, { readMs: 15 }))).toBe('b');
    expect(chosen(text('a', 40), text('b', 1000, { readMs: 15 }))).toBe('a');
  });

  test('without deadlines lets reading and decoding take turns', () => {
    expect(chosen(text('a', Infinity), text('n', Infinity, { readMs: 50 }), text('b', Infinity))).toBe('ab');
    expect(chosen(text('n', Infinity, { readMs: 50 }), text('a', Infinity), text('b', Infinity))).toBe('n');
  });
});
