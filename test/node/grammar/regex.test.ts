import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { shortest } from '../../../functions/grammar/automaton.js';
import { GrammarError, GrammarTooLargeError } from '../../../functions/grammar/errors.js';
import { compileRegex } from '../../../functions/grammar/regex.js';
import { utf8Sequences } from '../../../functions/grammar/utf8.js';
import { seededRandom } from '../../load/seeded.js';
import { bytesOf, matches, writeBlindly } from './walk.js';

const PATTERNS = ['-?[0-9]{1,5}', 'yes|no|maybe', '(?:ab|a)*c?', '[ぁ-んé-ü🙂]{2,4}', '.*', String.raw`\w+@\w+\.(?:com|org)`, '[^a-z]+', String.raw`\p{Lu}\p{Ll}*`, 'a?b?c?', String.raw`\d{3}\$`];

describe('the encoding of a range of code points', () => {
  test('is that of TextEncoder for each of them, and of no other', () => {
    const point = fc.integer({ min: 0, max: 0x10ffff });
    fc.assert(
      fc.property(point, point, point, (a, b, other) => {
        const sequences = utf8Sequences(Math.min(a, b), Math.max(a, b));
        const holds = (codePoint: number) => {
          const bytes = bytesOf(String.fromCodePoint(codePoint));
          return sequences.filter((sequence) => sequence.length === bytes.length && sequence.every(({ from, to }, index) => from <= bytes[index]! && bytes[index]! <= to)).length;
        };
        const isSurrogate = (codePoint: number) => codePoint >= 0xd800 && codePoint <= 0xdfff;
        const inside = [a, b, Math.floor((a + b) / 2)].filter((one) => !isSurrogate(one));
        expect(inside.map(holds)).toEqual(inside.map(() => 1));
        const isInside = other >= Math.min(a, b) && other <= Math.max(a, b);
        expect(holds(other)).toBe(isInside && !isSurrogate(other) ? 1 : 0);
      }),
    );
  });
});

describe.each(PATTERNS)('the automaton of %s', (pattern) => {
  const automaton = compileRegex(pattern);
  const whole = new RegExp(`^(?:${pattern})$`, 'u');

  test('lets through what the regular expression matches, and nothing else', () => {
    const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 6 }), fc.string({ unit: fc.constantFrom(...'ab0123@.coméüんA$'), maxLength: 8 }));
    fc.assert(
      fc.property(text, (one) => {
        expect(matches(automaton, one)).toBe(whole.test(one));
      }),
    );
  });

  test('leads every writer to a match, in time', () => {
    const random = seededRandom(7);
    for (let round = 0; round < 50; round += 1) {
      const maxBytes = shortest(automaton) + Math.floor(random() * 20);
      const written = writeBlindly(automaton, maxBytes, random);
      expect(written.length).toBeLessThanOrEqual(maxBytes);
      expect(new TextDecoder('utf-8', { fatal: true }).decode(written)).toMatch(whole);
    }
  });
});

describe('a regular expression', () => {
  test('may be anchored at its ends, which it is anyway', () => {
    for (const pattern of ['^ab$', 'ab$', '^ab', 'ab']) {
      expect([matches(compileRegex(pattern), 'ab'), matches(compileRegex(pattern), 'xab'), matches(compileRegex(pattern), 'abx')]).toEqual([true, false, false]);
    }
    expect(matches(compileRegex(String.raw`ab\$`), 'ab$')).toBe(true);
    expect(matches(compileRegex(String.raw`ab\\$`), 'ab\\')).toBe(true);
  });

  test.each([
    ['(', 'Unterminated group'],
    ['a(?=b)b', 'Assertions'],
    [String.raw`\bword`, 'Assertions'],
    [String.raw`(?:(a)|b)\1`, 'ackreference'],
    ['[]', 'no text matches it'],
    [String.raw`a\uD800`, 'no text matches it'],
    ['[\udc00-\udfff]+', 'no text matches it'],
  ])('that no automaton can follow is refused: %s', (pattern, message) => {
    expect(() => compileRegex(pattern)).toThrow(GrammarError);
    expect(() => compileRegex(pattern)).toThrow(message);
  });

  test.each(['.{0,9000}', '(?:a|b)*a(?:a|b){16}', '(?:(?:(?:a{50}){50}){50}){50}'])('that is too large is refused soon: %s', (pattern) => {
    expect(() => compileRegex(pattern)).toThrow(GrammarTooLargeError);
  });
});
