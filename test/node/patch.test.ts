import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countPromptPatches, isWordByte, PATCH_CAP, PatchSplitter, recentIds, SPECIAL, splitPrompt } from '../../functions/engine/patch.js';
import { patchRuleHash } from '../../functions/schema/patch-rule.js';

const bytes = (text: string) => new TextEncoder().encode(text);
/** Bytes in which words, separators and non-English text all occur often. */
const streams = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.string({ unit: fc.constantFrom(..."ab' .,\n0_é漢"), maxLength: 120 }).map(bytes),
);

/** Written by model-core/tests/patch_vectors.py, whose own test keeps it current. */
const python = JSON.parse(readFileSync('test/fixtures/patch-vectors.json', 'utf8')) as {
  ruleHash: string;
  cases: { ids: number[]; ends: number[] }[];
};

function patchesOf(ids: Iterable<number>): { complete: number[][]; unfinished: number[] } {
  const splitter = new PatchSplitter();
  const complete: number[][] = [];
  let open: number[] = [];
  for (const id of ids) {
    open.push(id);
    if (splitter.endsPatch(id)) {
      complete.push(open);
      open = [];
    }
  }
  return { complete, unfinished: open };
}

const padded = (ids: number[]) => [...ids, ...Array<number>(PATCH_CAP - ids.length).fill(SPECIAL.pad)];
const textOf = (patch: readonly number[]) => new TextDecoder().decode(Uint8Array.from(patch));

describe('the patch rule', () => {
  test('cuts after the separator that follows a word', () => {
    const { complete, unfinished } = patchesOf(bytes("The cat, isn't it?\n\n  Yes"));
    expect(complete.map(textOf)).toEqual(['The ', 'cat,', ' isn\'t ', 'it?']);
    expect(textOf(unfinished)).toBe('\n\n  Yes');
  });

  test('cuts a long word at the cap, and what follows it starts a patch of its own', () => {
    const { complete } = patchesOf(bytes('incomprehensibilities x '));
    expect(complete.map(textOf)).toEqual(['incomprehens', 'ibilities ', 'x ']);
  });

  test('ends a patch at every special id', () => {
    expect(patchesOf([SPECIAL.bod, 97, SPECIAL.eod, 98]).complete).toEqual([[SPECIAL.bod], [97, SPECIAL.eod]]);
  });

  test('splits a prefix into a prefix of the splits of the whole', () => {
    fc.assert(
      fc.property(streams, fc.nat(), (stream, cut) => {
        const prefix = patchesOf(stream.subarray(0, cut % (stream.length + 1)));
        const whole = patchesOf(stream);
        expect(whole.complete.slice(0, prefix.complete.length)).toEqual(prefix.complete);
        const next = whole.complete[prefix.complete.length] ?? whole.unfinished;
        expect(next.slice(0, prefix.unfinished.length)).toEqual(prefix.unfinished);
      }),
    );
  });

  test('loses no byte, and ends every patch by the pair rule or at the cap', () => {
    fc.assert(
      fc.property(streams, (stream) => {
        const { complete, unfinished } = patchesOf(stream);
        expect([...complete.flat(), ...unfinished]).toEqual([...stream]);
        const ids = [...stream];
        let end = -1;
        for (const patch of complete) {
          end += patch.length;
          const afterPair = !isWordByte(ids[end]!) && end > 0 && isWordByte(ids[end - 1]!);
          expect(afterPair || patch.length === PATCH_CAP).toBe(true);
        }
      }),
    );
  });

  test('cuts the streams of Python where Python cuts them', () => {
    expect(python.cases.length).toBeGreaterThan(10);
    for (const { ids, ends } of python.cases) {
      const splitter = new PatchSplitter();
      expect([...ids.keys()].filter((index) => splitter.endsPatch(ids[index]!))).toEqual(ends);
    }
  });

  test('has the hash that Python writes into manifests', async () => {
    expect(await patchRuleHash()).toBe(python.ruleHash);
  });
});

describe('a prompt', () => {
  test('becomes padded rows after the begin-of-document patch, and a forced prefix', () => {
    const { rows, patches, unfinished } = splitPrompt(bytes('The cat sa'));
    expect(patches).toBe(3);
    const row = (index: number) => [...rows.subarray(index * PATCH_CAP, (index + 1) * PATCH_CAP)];
    expect(row(0)).toEqual(padded([SPECIAL.bod]));
    expect(row(1)).toEqual(padded([...bytes('The ')]));
    expect(row(2)).toEqual(padded([...bytes('cat ')]));
    expect([...unfinished]).toEqual([...bytes('sa')]);
  });

  test('of bytes and specials is cut as its stream is', () => {
    const ids = fc.array(fc.oneof(fc.constantFrom(0x20, 0x61), fc.integer({ min: 0, max: 271 }).filter((id) => id !== SPECIAL.pad)), { maxLength: 200 });
    fc.assert(
      fc.property(fc.oneof(streams, ids.map((list) => Uint16Array.from(list))), (prompt) => {
        const { complete, unfinished } = patchesOf([SPECIAL.bod, ...prompt]);
        const split = splitPrompt(prompt);
        expect(split.patches).toBe(complete.length);
        expect(countPromptPatches(prompt)).toBe(complete.length);
        expect([...split.rows].filter((id) => id !== SPECIAL.pad)).toEqual(complete.flat());
        expect([...split.unfinished]).toEqual(unfinished);
      }),
    );
  });
});

describe('the end of a prompt', () => {
  /** Long runs of one class too, in which only the cap ends patches, and marks. */
  const runs = fc.array(fc.tuple(fc.constantFrom(97, 97, 32, 0xc3, SPECIAL.end_of_turn), fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 150 }))), { maxLength: 40 });
  const prompts = runs.map((parts) => Uint16Array.from(parts.flatMap(([id, count]) => Array<number>(id > 255 ? 1 : count).fill(id))));

  test('has the same last patches as the whole, more than the context holds, and is not much longer', () => {
    fc.assert(
      fc.property(prompts, fc.integer({ min: 1, max: 8 }), (prompt, context) => {
        const recent = recentIds(prompt, context);
        const [whole, end] = [splitPrompt(prompt), splitPrompt(recent)];
        expect(end.unfinished).toEqual(whole.unfinished);
        expect(end.patches > context).toBe(whole.patches > context);
        expect(recent.length).toBeLessThanOrEqual((context + 4) * PATCH_CAP);
        if (recent.length === prompt.length) return;
        expect(end.patches).toBeGreaterThan(context);
        // The first is the begin of a document, which the whole has not there.
        const shared = (context + 1) * PATCH_CAP;
        expect(end.rows.slice(-shared)).toEqual(whole.rows.slice(-shared));
      }),
      { numRuns: 1_000 },
    );
  });

  test('of bytes is bytes, and of a prompt that a context may hold all of it', () => {
    expect(recentIds(new Uint8Array(100_000), 8)).toBeInstanceOf(Uint8Array);
    const prompt = bytes('word '.repeat(20));
    expect(recentIds(prompt, 100)).toBe(prompt);
  });
});
