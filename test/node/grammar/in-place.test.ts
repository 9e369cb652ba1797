import { describe, expect, test } from 'vitest';
import { GrammarTooLargeError } from '../../../functions/grammar/errors.js';
import { GrammarsInPlace } from '../../../functions/grammar/in-place.js';

describe('a grammar that is compiled where it is asked for', () => {
  test('is the same automaton when it is asked for again', async () => {
    const grammars = new GrammarsInPlace();
    const first = await grammars.compile({ kind: 'regex', regex: 'a{3}' });
    expect(await grammars.compile({ kind: 'regex', regex: 'a{3}' })).toBe(first);
  });

  test('is refused when it is too long, or nests deeper than can be written', async () => {
    const grammars = new GrammarsInPlace();
    await expect(grammars.compile({ kind: 'regex', regex: 'a'.repeat(20_000) })).rejects.toThrow(GrammarTooLargeError);
    const depth = 200_000;
    const schema: unknown = JSON.parse(`${'{"not":'.repeat(depth)}1${'}'.repeat(depth)}`);
    await expect(grammars.compile({ kind: 'json_schema', schema })).rejects.toThrow(GrammarTooLargeError);
  });
});
