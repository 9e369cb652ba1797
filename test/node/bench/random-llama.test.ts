import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readGgufFileInfo } from 'node-llama-cpp';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BLOCK } from '../../bench/gguf/gguf-file.js';
import { writeRandomLlama as writeGguf } from '../../bench/gguf/random-llama.js';
import { headWidth, llamaShape, shapeParameters } from '../../bench/llama-shape.js';
import { writeRandomLlama as writeOnnx } from '../../bench/onnx/random-llama.js';

const SMALL = llamaShape(2e5, 'deep');
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stlm-bench-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('the shape of a peer', () => {
  test.each([10e6, 50e6, 100e6])('has as many parameters as the tier, within six percent: %d', (parameters) => {
    for (const kind of ['deep', 'wide'] as const) {
      expect(Math.abs(shapeParameters(llamaShape(parameters, kind)) / parameters - 1)).toBeLessThan(0.06);
    }
  });

  test('can be stored in blocks of 32 weights and split among its heads', () => {
    for (const parameters of [1e5, 10e6, 50e6, 100e6]) {
      for (const kind of ['deep', 'wide'] as const) {
        const shape = llamaShape(parameters, kind);
        expect([shape.width % 32, shape.feedForward % 32, shape.width % shape.heads, shape.heads % shape.kvHeads, headWidth(shape) % 2]).toEqual([0, 0, 0, 0, 0]);
      }
    }
  });
});

describe('a random GGUF', () => {
  test('is read by the tools of llama.cpp as a llama of that shape, with all its weights', async () => {
    const path = join(folder, 'small.gguf');
    await writeGguf(path, SMALL, 'Q4_0');
    const { metadata, fullTensorInfo, version } = await readGgufFileInfo(path, { logWarnings: false });
    expect(version).toBe(3);
    expect(metadata.general.architecture).toBe('llama');
    expect(metadata['llama' as never]).toMatchObject({ block_count: SMALL.layers, embedding_length: SMALL.width });
    const weights = fullTensorInfo!.reduce((sum, { dimensions }) => sum + dimensions.reduce<number>((product, dim) => product * Number(dim), 1), 0);
    expect(weights).toBe(shapeParameters(SMALL));
    expect(fullTensorInfo!.filter(({ ggmlType }) => ggmlType === 2).length).toBe(1 + 7 * SMALL.layers);
  });

  test('takes 4.5 bits a weight in Q4_0 and 8.5 in Q8_0', () => {
    expect((BLOCK.Q4_0.bytes * 8) / BLOCK.Q4_0.weights).toBe(4.5);
    expect((BLOCK.Q8_0.bytes * 8) / BLOCK.Q8_0.weights).toBe(8.5);
  });
});

describe('a random ONNX llama', () => {
  const cacheNames = Array.from({ length: SMALL.layers }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();

  async function step(session: ort.InferenceSession, ids: readonly number[], past: Record<string, ort.Tensor>) {
    const pastTokens = past[cacheNames[0]!]!.dims[2]!;
    const int64 = (values: readonly number[]) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
    const outputs = await session.run({
      input_ids: int64(ids),
      attention_mask: int64(Array.from({ length: pastTokens + ids.length }, () => 1)),
      ...Object.fromEntries(cacheNames.map((name) => [`past_key_values.${name}`, past[name]!])),
    });
    return { logits: outputs['logits']!.data as Float32Array, past: Object.fromEntries(cacheNames.map((name) => [name, outputs[`present.${name}`]!])) };
  }

  test('says the same of a prompt read at once and token by token, so its cache and its positions are right', async () => {
    await writeOnnx(join(folder, 'small'), SMALL);
    const session = await ort.InferenceSession.create(join(folder, 'small', 'onnx', 'model_q4.onnx'), { logSeverityLevel: 3 });
    const empty = Object.fromEntries(cacheNames.map((name) => [name, new ort.Tensor('float32', new Float32Array(0), [1, SMALL.kvHeads, 0, headWidth(SMALL)])]));
    const prompt = [5, 300, 7, 7, 42];
    const whole = await step(session, prompt, empty);
    let piecewise = await step(session, prompt.slice(0, 1), empty);
    for (const id of prompt.slice(1)) piecewise = await step(session, [id], piecewise.past);
    expect(whole.logits.length).toBe(SMALL.vocabulary);
    const scale = Math.max(...whole.logits.map(Math.abs));
    const furthest = Math.max(...whole.logits.map((logit, index) => Math.abs(logit - piecewise.logits[index]!)));
    expect(scale).toBeGreaterThan(0);
    expect(furthest / scale).toBeLessThan(0.02);
    const reordered = await step(session, [7, 300, 5, 7, 42], empty);
    expect(Math.max(...whole.logits.map((logit, index) => Math.abs(logit - reordered.logits[index]!))) / scale).toBeGreaterThan(0.02);
    await session.release();
  });
});
