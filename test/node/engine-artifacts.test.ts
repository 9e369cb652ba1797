/** What holds of quantised kernels on real weights, which no double shows. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chunkPatches } from '../../functions/engine/chunk.js';
import { Generation, type ModelShape } from '../../functions/engine/generate.js';
import type { ModelSession } from '../../functions/engine/onnx-runtime.js';
import { bestRuntime, openSession } from '../../functions/engine/open-session.js';
import { Pace } from '../../functions/engine/pace.js';
import { SPECIAL } from '../../functions/engine/patch.js';
import { type PrefixCache, prefixCache } from '../../functions/engine/prefix-cache.js';
import { Runner } from '../../functions/engine/runner.js';
import type { Feeds, Session, Tensor } from '../../functions/engine/session.js';
import { defaultFile, parseManifest } from '../../functions/registry/manifest.js';
import { englishText } from '../load/english.js';
import { greedy, textOf } from './engine-models.js';

const ARTIFACTS = 'model-core/artifacts';

/** Also asks for the log-probabilities of what a run decodes, and keeps them. */
class LoggingSession implements Session {
  readonly tensor: Session['tensor'];
  /** Of the last run, by its rows: each byte's id and log-probability. */
  last: { id: number; lp: number }[][] = [];

  constructor(readonly inner: ModelSession) {
    this.tensor = inner.tensor.bind(inner) as Session['tensor'];
  }

  async run(feeds: Feeds, outputs: readonly string[]): Promise<Readonly<Record<string, Tensor>>> {
    const results = await this.inner.run(feeds, outputs.includes('toks') ? [...outputs, 'lp'] : outputs);
    const { toks, lp } = results;
    if (toks !== undefined) {
      const [turns, texts] = toks.dims as [number, number];
      const at = (tensor: Tensor, turn: number, text: number) => (tensor.data as Float32Array)[turn * texts + text] as number;
      this.last = Array.from({ length: texts }, (_, text) =>
        Array.from({ length: turns }, (_, turn) => ({ id: at(toks, turn, text), lp: at(lp as Tensor, turn, text) })).filter(({ id }) => id !== SPECIAL.pad),
      );
    }
    return results;
  }
}

describe.each(['stlm-10m', 'stlm-50m', 'stlm-100m'])('%s', (tier) => {
  let session: LoggingSession;
  let shape: ModelShape;
  beforeAll(async () => {
    const manifest = await parseManifest(tier, readFileSync(join(ARTIFACTS, tier, 'manifest.json'), 'utf8'));
    const { name, sha256 } = defaultFile(manifest);
    shape = { trunk: manifest.trunk, contextPatches: manifest.context.patches, chunkPatches: chunkPatches(manifest.trunk) };
    session = new LoggingSession(await openSession({ path: join(ARTIFACTS, tier, name), sha256 }, { runtime: (await bestRuntime()).runtime, threads: 1 }));
  });
  afterAll(() => session.inner.release());

  function engine(prefixes = prefixCache(0)) {
    const parts = { session, shape, prefixes, pace: new Pace({ prefillPatchMs: 0, decodePatchMs: 0 }), nowMs: () => 0 };
    return { parts, runner: new Runner({ ...parts, trunk: shape.trunk }) };
  }

  /** Eight texts, read and begun, and then so many patches of each, with the texts of a run given by `divide`. */
  async function decode(patches: number, divide: (texts: Generation[]) => Generation[][]) {
    const { parts, runner } = engine();
    const prompts = Array.from({ length: 8 }, (_, index) => englishText(600).slice(index * 31, index * 31 + 60 + 20 * index));
    const texts = prompts.map((prompt) => new Generation(parts, greedy(prompt, { maxBytes: 1_000 })));
    for (const text of texts) while (!text.ready) await runner.run([text]);
    const told = new Map(texts.map((text) => [text, [] as { id: number; lp: number }[]]));
    for (let patch = 0; patch < patches; patch += 1) {
      for (const run of divide(texts)) {
        await runner.run(run);
        // The rows of a run of all are in the order in which they were given.
        for (const [index, text] of run.entries()) told.get(text)!.push(...session.last[index]!);
      }
    }
    return [...told.values()];
  }

  /** Measured here: 0.03, 0.01 and 0.12 on the three tiers. */
  test('a text that shares runs stays within 0.25 nat of its log-probabilities alone', async () => {
    const alone = await decode(12, (texts) => texts.map((text) => [text]));
    const together = await decode(12, (texts) => [texts]);
    let compared = 0;
    let largest = 0;
    for (const [index, told] of alone.entries()) {
      for (const [at, { id, lp }] of told.entries()) {
        const other = together[index]![at];
        // A choice that was nearly even may fall the other way, and then the texts part.
        if (other === undefined || other.id !== id) break;
        largest = Math.max(largest, Math.abs(other.lp - lp));
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(200);
    expect(largest).toBeLessThan(0.25);
  });

  test('a text with a seed is the same to the byte, whether its prompt was read now or before', async () => {
    const prompt = englishText(1_500);
    const generate = async (text: string, prefixes: PrefixCache) => {
      const { parts, runner } = engine(prefixes);
      const generation = new Generation(parts, greedy(text, { temperature: 1, seed: 8, maxBytes: 60 }));
      const chunks: Uint8Array[] = [];
      const told: typeof session.last = [];
      while (generation.outcome === undefined) {
        session.last = [];
        await runner.run([generation]);
        chunks.push(...generation.takePieces().map(({ bytes }) => bytes));
        told.push(...session.last);
      }
      return { text: textOf(chunks), told, cachedPatches: generation.outcome.cachedPatches };
    };
    const filled = prefixCache(1e8);
    // Its buffers are longer than those of the texts that reuse it.
    await generate(prompt, filled);
    for (const bytes of [500, 700, 1_100, 1_500]) {
      const fresh = await generate(prompt.slice(0, bytes), prefixCache(0));
      const again = await generate(prompt.slice(0, bytes), filled);
      expect(again.text).toBe(fresh.text);
      expect(again.told).toEqual(fresh.told);
      expect(again.cachedPatches).toBeGreaterThan(0.3 * (bytes / 6));
    }
  });
});
