import { expect, test } from 'vitest';
import { PrefixIndex } from '../../functions/engine/prefix-index.js';
import { bytesOf } from './engine-models.js';

const index = () => new PrefixIndex({ trunk: { layers: 2, kvHeads: 1, headDim: 8 }, contextPatches: 200, chunkPatches: 8 }, 2);
/** The begin of the document and so many words. */
const words = (count: number) => bytesOf('ab '.repeat(count));

test('knows on which worker a beginning has been read, chunk by chunk', () => {
  const prefixes = index();
  expect(prefixes.cachedPatches(words(50), 'me')).toEqual([0, 0]);
  prefixes.observe(1, words(30), 'me', 0);
  expect(prefixes.cachedPatches(words(50), 'me')).toEqual([0, 24]);
  // The end of a prompt is read again.
  expect(prefixes.cachedPatches(words(15), 'me')).toEqual([0, 8]);
  expect(prefixes.cachedPatches(words(50), 'you')).toEqual([0, 0]);
  expect(prefixes.cachedPatches(bytesOf(`cd ${'ab '.repeat(50)}`), 'me')).toEqual([0, 0]);
});

test('starts again once a worker had to read what it was thought to have', () => {
  const prefixes = index();
  prefixes.observe(0, words(30), 'me', 0);
  prefixes.observe(0, words(60), 'you', 0);
  prefixes.observe(0, words(40), 'me', 0);
  expect(prefixes.cachedPatches(words(60), 'you')).toEqual([0, 0]);
  expect(prefixes.cachedPatches(words(60), 'me')).toEqual([40, 0]);
});

test('promises nothing of a prompt that outgrows the context', () => {
  const prefixes = index();
  prefixes.observe(0, words(300), 'me', 0);
  expect(prefixes.cachedPatches(words(300), 'me')).toEqual([0, 0]);
});
