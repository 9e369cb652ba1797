import { describe, expect, test } from 'vitest';
import { footprint } from '../../functions/engine/memory.js';
import { type Machine, poolPlan, type PoolSettings } from '../../functions/engine/pool-plan.js';
import type { Manifest } from '../../functions/schema/manifest.js';
import { tinyModel } from './engine-models.js';

const GIBIBYTE = 2 ** 30;
const { manifest } = await tinyModel();
const tier = (id: string, bytes: number): Manifest => ({ ...manifest, id, files: [{ ...manifest.files[0]!, bytes }] });
/** As large as those that are served. */
const tiers = [tier('stlm-10m', 7e6), tier('stlm-50m', 31e6), tier('stlm-100m', 65e6)];

const plan = (machine: Machine, settings: Partial<PoolSettings> = {}) => poolPlan(machine, tiers, { threads: 1, preload: 'all', idleUnloadMs: 1, ...settings });
const placed = (preload: readonly { tier: string; worker: number }[]) => preload.map(({ tier, worker }) => `${tier}/${worker}`);

describe('the plan of a pool', () => {
  test('for one core is one worker with every tier, the smallest first', () => {
    const { workers, preload } = plan({ cores: 1, memoryBytes: 4 * GIBIBYTE });
    expect(workers).toBe(1);
    expect(placed(preload)).toEqual(['stlm-10m/0', 'stlm-50m/0', 'stlm-100m/0']);
  });

  test('for two cores loads every tier on both, neighbours in size in turn', () => {
    const { preload, kept } = plan({ cores: 2, memoryBytes: 4 * GIBIBYTE });
    expect(placed(preload)).toEqual(['stlm-10m/0', 'stlm-10m/1', 'stlm-50m/0', 'stlm-100m/1', 'stlm-50m/1', 'stlm-100m/0']);
    expect(kept).toEqual(['stlm-50m', 'stlm-100m']);
  });

  test('for many cores has the smallest tier everywhere and two copies of each larger one', () => {
    const { workers, preload } = plan({ cores: 64, memoryBytes: 256 * GIBIBYTE });
    expect(workers).toBe(64);
    expect(preload).toHaveLength(64 + 2 * 2);
    expect(new Set(placed(preload)).size).toBe(preload.length);
  });

  test('divides the cores among threads, and obeys what the operator has settled', () => {
    expect(plan({ cores: 8, memoryBytes: 64 * GIBIBYTE }, { threads: 4 })).toMatchObject({ workers: 2, threads: 4 });
    expect(plan({ cores: 1, memoryBytes: 64 * GIBIBYTE }, { threads: 4 }).workers).toBe(1);
    expect(plan({ cores: 2, memoryBytes: 64 * GIBIBYTE }, { workers: 3, memoryBytes: GIBIBYTE })).toMatchObject({ workers: 3, memoryBytes: GIBIBYTE });
  });

  test('stays inside the memory, with fewer workers and fewer of the larger tiers', () => {
    for (const memoryBytes of [64e6, 128e6, 256e6, 512e6, 1e9, 4e9]) {
      const { workers, preload, ...rest } = plan({ cores: 16, memoryBytes });
      const bytes = preload.reduce((sum, { tier }) => sum + footprint(tiers.find(({ id }) => id === tier)!).copy, 0);
      expect(bytes).toBeLessThanOrEqual(rest.memoryBytes);
      expect(preload[0]).toEqual({ tier: 'stlm-10m', worker: 0 });
      expect(workers).toBeGreaterThanOrEqual(1);
    }
    expect(plan({ cores: 16, memoryBytes: 256e6 }).workers).toBeLessThan(4);
  });

  test('preloads what it is told to', () => {
    expect(placed(plan({ cores: 1, memoryBytes: 4 * GIBIBYTE }, { preload: ['stlm-100m'] }).preload)).toEqual(['stlm-10m/0', 'stlm-100m/0']);
    expect(placed(plan({ cores: 1, memoryBytes: 4 * GIBIBYTE }, { preload: [] }).preload)).toEqual(['stlm-10m/0']);
  });

  test('refuses memory that not even the smallest tier fits, by the name of the setting', () => {
    expect(() => plan({ cores: 1, memoryBytes: GIBIBYTE }, { memoryBytes: 1e6 })).toThrow(/stlm-10m takes 27 MiB and the models may take 1: see STLM_MEMORY_MB/);
  });

  test('of a server without models has a worker and loads nothing', () => {
    expect(poolPlan({ cores: 4, memoryBytes: GIBIBYTE }, [], { threads: 1, preload: 'all', idleUnloadMs: 1 })).toMatchObject({ workers: 1, preload: [] });
  });
});
