import { expect, test } from 'vitest';
import { chunkPatches } from '../../functions/engine/chunk.js';

test.each([
  ['10M', { layers: 2, width: 384 }, 16],
  ['50M', { layers: 8, width: 576 }, 16],
  ['100M', { layers: 12, width: 768 }, 8],
  ['one far too large', { layers: 100, width: 4096 }, 8],
  ['a test model', { layers: 2, width: 64 }, 16],
])('a prefill run of %s is bounded', (_, trunk, patches) => {
  expect(chunkPatches(trunk)).toBe(patches);
});
