import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fitChat, replyPrompt, type Turn, turn } from '../../functions/engine/chat.js';
import { countPromptPatches } from '../../functions/engine/patch.js';
import { CHAT } from './engine-models.js';

const LEAST_PATCHES = 12;
const texts = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."ab' .,\n0_é漢😀"), maxLength: 150 }),
  fc.string({ unit: fc.constantFrom('a', '漢', '😀'), maxLength: 150 }),
);
const chats = fc
  .tuple(fc.array(texts, { maxLength: 1 }), fc.array(texts, { minLength: 1, maxLength: 8 }))
  .map(([system, said]) =>
    system.map((text) => turn('system', text)).concat(said.map((text, index) => turn((said.length - index) % 2 === 1 ? 'user' : 'assistant', text))),
  );
const contexts = fc.integer({ min: LEAST_PATCHES, max: 200 });

const textOf = ({ bytes }: Turn) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);
const patchesOf = (turns: readonly Turn[]) => turns.reduce((sum, { patches }) => sum + patches, 0);

describe('a chat as a prompt', () => {
  test('has a special only where a turn begins or ends, whatever its texts', () => {
    fc.assert(
      fc.property(chats, (turns) => {
        const marks = [...replyPrompt(turns, CHAT)].filter((id) => id > 255);
        expect(marks).toEqual([...turns.flatMap(({ role }) => [CHAT.roles[role], CHAT.endOfTurn]), CHAT.roles.assistant]);
      }),
    );
  });

  test('has as many patches as its turns say, all of them complete', () => {
    fc.assert(
      fc.property(chats, (turns) => {
        expect(fitChat(turns, 10_000, 0).patches).toBe(countPromptPatches(replyPrompt(turns, CHAT)));
      }),
    );
  });

  test('uses the marks that the manifest names', () => {
    const other = { roles: { system: 268, user: 269, assistant: 270 }, endOfTurn: 271 };
    expect([...replyPrompt([turn('system', 'a'), turn('user', 'b')], other)]).toEqual([268, 97, 271, 269, 98, 271, 270]);
  });
});

describe('a chat in a context', () => {
  test('that is long enough stays whole', () => {
    fc.assert(
      fc.property(chats, fc.integer({ min: 1, max: 50 }), (turns, replyPatches) => {
        const fitted = fitChat(turns, Math.max(patchesOf(turns) + 2 + replyPatches, 2 * replyPatches), replyPatches);
        expect(fitted).toMatchObject({ turns, truncated: false });
      }),
    );
  });

  test('leaves room for the reply, up to half of the context', () => {
    fc.assert(
      fc.property(chats, contexts, fc.integer({ min: 1, max: 300 }), (turns, contextPatches, replyPatches) => {
        const { turns: kept, patches } = fitChat(turns, contextPatches, replyPatches);
        expect(patches).toBe(countPromptPatches(replyPrompt(kept, CHAT)));
        expect(patches + Math.min(replyPatches, contextPatches >> 1)).toBeLessThanOrEqual(contextPatches);
      }),
      { numRuns: 1_000 },
    );
  });

  test('keeps whole turns, the newest without a gap, and as many as fit', () => {
    fc.assert(
      fc.property(chats, contexts, (turns, contextPatches) => {
        const { turns: kept, patches, truncated } = fitChat(turns, contextPatches, 4);
        const said = turns.filter(({ role }) => role !== 'system');
        const keptSaid = kept.filter(({ role }) => role !== 'system');
        const left = said.slice(0, said.length - keptSaid.length);
        expect(keptSaid.slice(0, -1)).toEqual(said.slice(left.length, -1));
        expect(keptSaid.at(-1)!.role).toBe('user');
        expect(textOf(said.at(-1)!).endsWith(textOf(keptSaid.at(-1)!))).toBe(true);
        expect(truncated).toBe(kept.length < turns.length || keptSaid.at(-1) !== said.at(-1));
        expect(patches + 4 + (left.at(-1)?.patches ?? Infinity)).toBeGreaterThan(contextPatches);
      }),
      { numRuns: 1_000 },
    );
  });

  test('keeps the system text while older turns go', () => {
    const turns = [turn('system', 'Be kind.'), ...Array.from({ length: 20 }, (_, index) => turn(index % 2 === 0 ? 'assistant' : 'user', `turn number ${index}`))];
    const { turns: kept, truncated } = fitChat(turns, 40, 8);
    expect(kept.map(textOf)).toEqual(['Be kind.', 'turn number 14', 'turn number 15', 'turn number 16', 'turn number 17', 'turn number 18', 'turn number 19']);
    expect(truncated).toBe(true);
  });

  test('keeps the end of a question that is too long by itself, from a word on', () => {
    const long = turn('user', Array.from({ length: 100 }, (_, index) => `word${index}`).join(' '));
    const { turns: kept, truncated } = fitChat([turn('system', 'Be kind.'), turn('assistant', 'Yes?'), long], 30, 10);
    expect(kept.map(({ role }) => role)).toEqual(['system', 'user']);
    expect(textOf(kept[1]!)).toMatch(/^word\d+ .* word99$/);
    expect(truncated).toBe(true);
  });

  test('cuts no character, even where one word is longer than the context', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'é', '漢', '😀'), minLength: 200, maxLength: 400 }), (word) => {
        const { turns: kept, patches } = fitChat([turn('user', word)], 20, 5);
        expect(word.endsWith(textOf(kept[0]!))).toBe(true);
        expect(patches).toBeLessThanOrEqual(15);
        // As much as fits, but for what makes a whole character.
        expect(kept[0]!.bytes.length).toBeGreaterThan(12 * (15 - 2 - 2 - 1));
      }),
    );
  });

  test('gives up a system text that leaves the question less than half, only when something must go', () => {
    const system = turn('system', 'rule '.repeat(20));
    expect(fitChat([system, turn('user', 'why? '.repeat(20))], 40, 4).turns.map(({ role }) => role)).toEqual(['user']);
    expect(fitChat([system, turn('user', 'why?')], 40, 4).turns.map(({ role }) => role)).toEqual(['system', 'user']);
  });
});
