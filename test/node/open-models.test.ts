import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readConfig } from '../../functions/config.js';
import type * as Models from '../../functions/entries/models.js';

test('the smallest tier is on its way before anything is made that could ask for it', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'stlm-cache-'));
  // Built, as its threads are.
  const { openModels } = (await import(new URL('../../dist/functions/entries/models.js', import.meta.url).href)) as typeof Models;
  const { engine, preload } = await openModels(readConfig({ STLM_ARTIFACTS: 'test/fixtures/models', STLM_CACHE: cache }));
  await expect.poll(() => engine.isWarm(preload[0]!)).toBe(true);
  await engine.close();
  await rm(cache, { recursive: true });
});
