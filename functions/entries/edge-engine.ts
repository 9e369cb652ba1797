/** The engine of a Worker: the smallest tier, and the others as far as requests for them can be read here. */
import { waitUntil } from 'cloudflare:workers';
import large from '../../model-core/artifacts/stlm-100m/manifest.json' with { type: 'json' };
import small from '../../model-core/artifacts/stlm-10m/manifest.json' with { type: 'json' };
import medium from '../../model-core/artifacts/stlm-50m/manifest.json' with { type: 'json' };
import { IsolateEngine } from '../engine/isolate.js';
import { openEdgeSession, runtimeBytes } from '../engine/ort-edge.js';
import { readModel } from '../registry/bucket.js';
import { manifestSchema } from '../schema/manifest.js';
import { type Bindings, drawSeed, nowMs, pause } from './workerd.js';

/** 4-bit kernels are ten times slower in WebAssembly, and round otherwise. */
const PRECISION = 'uint8';
/** What the first prediction in an isolate goes by: `npm run bench -- edge`. */
const SEED = { machine: 'workerd, AMD EPYC', threads: 1, loadMs: 650, prefillPatchMs: 0.9, decodePatchMs: 2 };

export function openEngine({ MODELS }: Pick<Bindings, 'MODELS'>): IsolateEngine {
  const own = { ...manifestSchema.parse(small), defaultPrecision: PRECISION, latencySeed: SEED } as const;
  const manifests = [own, manifestSchema.parse(medium), manifestSchema.parse(large)];
  const read = () => readModel(MODELS, own, PRECISION);
  return new IsolateEngine({ manifests, tier: own.id, read, open: openEdgeSession, nowMs, drawSeed, pause, hold: waitUntil, runtimeBytes });
}
