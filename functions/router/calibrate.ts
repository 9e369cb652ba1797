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

/** No run takes so long: the process was stopped in between, as Lambda freezes it after an answer, or other texts had their turn. */
const STALL_MS = 1_000;
/** A machine on which that is how long a run takes is measured all the same. */
const TRIES = 3;

export async function* calibrationProbes(engine: Pick<Engine, 'generate'>, placement: Placement, nowMs: () => number): AsyncGenerator<GenerateResult> {
  await probe(engine, placement, SETTLE, nowMs);
  for (const shape of PROBES) yield await probe(engine, placement, shape, nowMs);
}

/** No deadline: in an earliest-deadline-first worker a probe runs only when nothing else does. */
async function probe(engine: Pick<Engine, 'generate'>, placement: Placement, shape: typeof SETTLE, nowMs: () => number): Promise<GenerateResult> {
  const prompt = new TextEncoder().encode(SENTENCE.repeat(Math.ceil(shape.promptBytes / SENTENCE.length)).slice(0, shape.promptBytes));
  const options = { prompt, maxBytes: shape.textBytes, temperature: 1, topP: 1, topK: 0, seed: 0, stop: [], logitBias: new Map(), cacheSalt: 'calibration', deadlineAtMs: Infinity };
  for (let tries = 1; ; tries += 1) {
    const generation = engine.generate(placement, options, new AbortController().signal);
    let longestSilenceMs = 0;
    let result: GenerateResult | undefined;
    while (result === undefined) {
      const askedAtMs = nowMs();
      const step = await generation.next();
      longestSilenceMs = Math.max(longestSilenceMs, nowMs() - askedAtMs);
      if (step.done) result = step.value;
    }
    if (longestSilenceMs <= STALL_MS || tries === TRIES) return result;
  }
}
