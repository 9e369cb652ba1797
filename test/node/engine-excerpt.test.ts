import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { beginning, ending, markedPatches } from '../../functions/engine/excerpt.js';
import { fitGap } from '../../functions/engine/infill.js';
import { countPromptPatches, SPECIAL } from '../../functions/engine/patch.js';

/** Written by `model-core/tests/infill_prompts.py`. */
const python = JSON.parse(readFileSync('test/fixtures/infill-prompts.json', 'utf8')) as { prefix: string; suffix: string; ids: number[] }[];

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (ids: ArrayLike<number>) => new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(ids));
const words = fc.array(fc.constantFrom('one ', 'two, ', 'a', ' ', 'naïveté ', '日本語の長い文章です', '😀', '\n'), { maxLength: 60 }).map((parts) => parts.join(''));

describe('of a text that is too long', () => {
  test('the end that is kept takes at most so many patches, and so does the beginning, with no character cut', () => {
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 40 }), (whole, patches) => {
        for (const [cut, isPart] of [[ending(bytes(whole), patches), whole.endsWith.bind(whole)], [beginning(bytes(whole), patches), whole.startsWith.bind(whole)]] as const) {
          expect(markedPatches(cut)).toBeLessThanOrEqual(patches);
          expect(isPart(text(cut))).toBe(true);
        }
      }),
    );
  });

  test('as much is kept as fits', () => {
    const whole = bytes('ab cd ef gh ij');
    expect(text(ending(whole, 3))).toBe('ef gh ij');
    expect(text(beginning(whole, 3))).toBe('ab cd ');
    expect(text(ending(whole, 5))).toBe('ab cd ef gh ij');
    expect(text(beginning(whole, 5))).toBe('ab cd ef gh ij');
  });
});

describe('a gap as a prompt', () => {
  const CONTEXT = 40;
  const parts = (ids: Uint16Array) => {
    const prefix = ids.indexOf(SPECIAL.fim_prefix);
    expect(ids[0]).toBe(SPECIAL.fim_suffix);
    return { prefix: text(ids.slice(prefix + 1).filter((id) => id !== SPECIAL.fim_middle)), suffix: text(ids.slice(1, prefix)) };
  };

  test.each(python)('is that of training: %j', ({ prefix, suffix, ids }) => {
    const gap = fitGap(bytes(prefix), bytes(suffix), CONTEXT, 4);
    expect([SPECIAL.bod, ...gap.ids]).toEqual(ids);
    expect(gap.truncated).toBe(false);
  });

  test('leaves room in the context for the text, and knows its own patches', () => {
    fc.assert(
      fc.property(words, words, fc.integer({ min: 0, max: 60 }), (prefix, suffix, middlePatches) => {
        const gap = fitGap(bytes(prefix), bytes(suffix), CONTEXT, middlePatches);
        expect(gap.patches).toBe(countPromptPatches(gap.ids));
        expect(gap.patches).toBeLessThanOrEqual(CONTEXT - Math.min(middlePatches, CONTEXT / 2));
        const kept = parts(gap.ids);
        expect(prefix.endsWith(kept.prefix) && suffix.startsWith(kept.suffix)).toBe(true);
        expect(gap.truncated).toBe(kept.prefix !== prefix || kept.suffix !== suffix);
      }),
    );
  });

  test('of two long sides keeps what is nearest, three parts before to one behind', () => {
    const numbered = Array.from({ length: 200 }, (_, index) => `w${index} `).join('');
    const { prefix, suffix } = parts(fitGap(bytes(numbered), bytes(numbered), 100, 18).ids);
    expect(suffix.startsWith('w0 w1 ')).toBe(true);
    expect(prefix.endsWith('w198 w199 ')).toBe(true);
    const count = (side: string) => side.split(' ').length - 1;
    expect(count(prefix) / count(suffix)).toBeGreaterThan(2.8);
    expect(count(prefix) / count(suffix)).toBeLessThan(3.4);
  });

  test('gives a side what the other does not need', () => {
    const numbered = Array.from({ length: 200 }, (_, index) => `w${index} `).join('');
    const before = parts(fitGap(bytes(numbered), bytes('end'), 100, 18).ids).prefix;
    const behind = parts(fitGap(bytes('begin'), bytes(numbered), 100, 18).ids).suffix;
    for (const side of [before, behind]) expect(side.split(' ').length).toBeGreaterThan(75);
  });
});
