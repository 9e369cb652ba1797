import { describe, expect, test } from 'vitest';
import { shortest } from '../../../functions/grammar/automaton.js';
import { GrammarError } from '../../../functions/grammar/errors.js';
import { ThreadedGrammars } from '../../../functions/grammar/threaded.js';
import { matches } from './walk.js';

const grammars = new ThreadedGrammars(new URL('../../../dist/functions/grammar/thread.js', import.meta.url));

describe('grammars compiled in a thread', () => {
  test('come back as the automata they are, shared and not copied', async () => {
    const automaton = await grammars.compile({ kind: 'regex', regex: 'yes|no' });
    expect([matches(automaton, 'yes'), matches(automaton, 'maybe')]).toEqual([true, false]);
    expect(automaton.next.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(shortest(await grammars.compile({ kind: 'json_object' }))).toBe(2);
  });

  test('are refused in the words of whoever compiled them, and others go on', async () => {
    const [wrong, right] = await Promise.allSettled([grammars.compile({ kind: 'regex', regex: '(' }), grammars.compile({ kind: 'regex', regex: 'a' })]);
    expect(wrong).toMatchObject({ status: 'rejected', reason: expect.any(GrammarError) });
    expect(right.status).toBe('fulfilled');
  });
});
