/**
 * What a tier costs on this machine, measured once after its first load: a short and a long prompt, and text enough after each to
 * tell a decode step from a prefill and to see what context adds to it.
 */
import type { Engine, GenerateResult, Placement } from '../engine/types.js';

const SENTENCE = 'The quick brown fox jumps over the lazy dog while the old clock in the hall strikes seven. ';

/** Prompt and text bytes of each probe. The first only settles caches and lazy initialisation; its result is not used. */
const SETTLE = { promptBytes: 40, textBytes: 24 };
const PROBES = [
  { promptBytes: 40, textBytes: 64 },
  { promptBytes: 640, textBytes: 64 },
  { promptBytes: 40, textBytes: 64 },
];

export async function* calibrationProbes(engine: Pick<Engine, 'generate'>, placement: Placement): AsyncGenerator<GenerateResult> {
  await probe(engine, placement, SETTLE);
  for (const shape of PROBES) yield await probe(engine, placement, shape);
}

/** No deadline: in an earliest-deadline-first worker a probe runs only when nothing else does. */
async function probe(engine: Pick<Engine, 'generate'>, placement: Placement, shape: typeof SETTLE): Promise<GenerateResult> {
  const prompt = new TextEncoder().encode(SENTENCE.repeat(Math.ceil(shape.promptBytes / SENTENCE.length)).slice(0, shape.promptBytes));
  const options = { prompt, maxBytes: shape.textBytes, temperature: 1, topP: 1, topK: 0, seed: 0, stop: [], logitBias: new Map(), cacheSalt: 'calibration', deadlineAtMs: Infinity };
  const generation = engine.generate(placement, options, new AbortController().signal);
  for (;;) {
    const step = await generation.next();
    if (step.done) return step.value;
  }
}
