import { expect, test } from 'vitest';
import { PrefixIndex } from '../../functions/engine/prefix-index.js';
import { bytesOf } from './engine-models.js';

const index = () => new PrefixIndex({ trunk: { layers: 2, kvHeads: 1, headDim: 8 }, contextPatches: 200, chunkPatches: 8 }, 1e6, 2);
/** The begin of the document and so many words. */
const words = (count: number) => bytesOf('ab '.repeat(count));

test('knows on which worker a beginning has been read, chunk by chunk', () => {
  const prefixes = index();
  expect(prefixes.cachedPatches(words(50), 'me')).toEqual([0, 0]);
  prefixes.observe(1, words(30), 'me');
  expect(prefixes.cachedPatches(words(50), 'me')).toEqual([0, 24]);
  // The end of a prompt is read again.
  expect(prefixes.cachedPatches(words(15), 'me')).toEqual([0, 8]);
  expect(prefixes.cachedPatches(words(50), 'you')).toEqual([0, 0]);
  expect(prefixes.cachedPatches(bytesOf(`cd ${'ab '.repeat(50)}`), 'me')).toEqual([0, 0]);
});

test('forgets all of one worker, and learns again', () => {
  const prefixes = index();
  for (const worker of [0, 1]) prefixes.observe(worker, words(60), 'you');
  prefixes.forget(0);
  expect(prefixes.cachedPatches(words(60), 'you')).toEqual([0, 56]);
  prefixes.observe(0, words(40), 'me');
  expect(prefixes.cachedPatches(words(60), 'you')).toEqual([0, 56]);
  expect(prefixes.cachedPatches(words(60), 'me')).toEqual([40, 0]);
});

test('promises nothing of a prompt that outgrows the context', () => {
  const prefixes = index();
  prefixes.observe(0, words(300), 'me');
  expect(prefixes.cachedPatches(words(300), 'me')).toEqual([0, 0]);
});
