/**
 * A llama model of random 4-bit weights as transformers.js runs it: the graph that onnxruntime's model builder exports, with its fused
 * operators (grouped-query attention with rotary embedding and a growing cache, packed QKV, 4-bit matrices computed in 8 bits), which
 * is the fastest form there is for this runtime. Logits of the last position only.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { headWidth, kvWidth, type LlamaShape } from '../llama-shape.js';
import { seededBytes } from '../../load/seeded.js';
import { encodeOnnx, type OnnxGraph, type OnnxNode, type OnnxTensor, type OnnxValue } from './onnx-file.js';

const BLOCK = 32;
const EPSILON = 1e-5;
const ROPE_BASE = 10_000;
/** Computes with 8-bit activations: much the fastest on a CPU. */
const ACCURACY_LEVEL = 4;

/** Writes what `from_pretrained` with `dtype: 'q4'` looks for in a model's folder. */
export async function writeRandomLlama(folder: string, shape: LlamaShape): Promise<void> {
  await mkdir(join(folder, 'onnx'), { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(config(shape)));
  await writeFile(join(folder, 'generation_config.json'), JSON.stringify({}));
  await writeFile(join(folder, 'onnx', 'model_q4.onnx'), encodeOnnx(graph(shape)));
}

function config(shape: LlamaShape): object {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: shape.vocabulary,
    hidden_size: shape.width,
    intermediate_size: shape.feedForward,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: headWidth(shape),
    max_position_embeddings: shape.contextTokens,
    rms_norm_eps: EPSILON,
    rope_theta: ROPE_BASE,
    tie_word_embeddings: true,
    torch_dtype: 'float32',
  };
}

class Builder {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxTensor[] = [];
  #seed = 0;

  /** Adds a node with one output and returns its name. */
  node(op: string, inputs: readonly string[], fields: Partial<OnnxNode> = {}): string {
    const output = `${op}_${this.nodes.length}`;
    this.nodes.push({ op, inputs, outputs: [output], ...fields });
    return output;
  }

  int64(name: string, values: readonly number[], dims: readonly number[] = [values.length]): string {
    this.initializers.push({ name, type: 'int64', dims, data: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) });
    return name;
  }

  floats(name: string, values: Float32Array, dims: readonly number[]): string {
    this.initializers.push({ name, type: 'float', dims, data: new Uint8Array(values.buffer) });
    return name;
  }

  random(length: number): Uint8Array {
    this.#seed += 1;
    return seededBytes(length, this.#seed);
  }

  /** Scales that keep random 4-bit weights at about ±0.03. */
  scales(name: string, dims: readonly number[]): string {
    return this.floats(name, new Float32Array(dims.reduce((product, dim) => product * dim, 1)).fill(1 / 256), dims);
  }

  /** [.., into] -> [.., outOf] */
  matrix(name: string, x: string, into: number, outOf: number): string {
    const blocks = into / BLOCK;
    const weights = `${name}.q4`;
    this.initializers.push({ name: weights, type: 'uint8', dims: [outOf, blocks, BLOCK / 2], data: this.random((outOf * into) / 2) });
    const attributes = { K: into, N: outOf, bits: 4, block_size: BLOCK, accuracy_level: ACCURACY_LEVEL };
    return this.node('MatMulNBits', [x, weights, this.scales(`${name}.scales`, [outOf * blocks])], { domain: 'com.microsoft', attributes });
  }

  ones(name: string, width: number): string {
    return this.floats(name, new Float32Array(width).fill(1), [width]);
  }

  /** Adds `x` to the residual stream and normalises: [the new stream, its norm]. */
  skipNorm(x: string, residual: string, gain: string): { stream: string; normed: string } {
    const at = this.nodes.length;
    const normed = `normed_${at}`;
    const stream = `stream_${at}`;
    this.nodes.push({
      op: 'SkipSimplifiedLayerNormalization',
      domain: 'com.microsoft',
      inputs: [x, residual, gain],
      outputs: [normed, '', '', stream],
      floatAttributes: { epsilon: EPSILON },
    });
    return { stream, normed };
  }
}

function graph(shape: LlamaShape): OnnxGraph {
  const { width, layers, vocabulary } = shape;
  const builder = new Builder();
  const lengths = attentionLengths(builder);
  const rotary = rotaryCaches(builder, shape);

  let stream = embedding(builder, shape);
  let normed = builder.node('SimplifiedLayerNormalization', [stream, builder.ones('norm.0', width)], { floatAttributes: { epsilon: EPSILON } });
  for (let layer = 0; layer < layers; layer += 1) {
    const attended = attention(builder, shape, layer, normed, [...lengths, ...rotary]);
    ({ stream, normed } = builder.skipNorm(attended, stream, builder.ones(`norm.${layer}.mlp`, width)));
    const fed = feedForward(builder, shape, layer, normed);
    ({ stream, normed } = builder.skipNorm(fed, stream, builder.ones(`norm.${layer + 1}`, width)));
  }
  const last = builder.node('Slice', [normed, builder.int64('last', [-1]), builder.int64('end', [2 ** 31]), builder.int64('axis', [1])]);
  const logits = builder.matrix('lm_head', last, width, vocabulary);
  builder.nodes.push({ op: 'Identity', inputs: [logits], outputs: ['logits'] });

  // transformers.js fills in free dimensions by their names.
  const cache = (prefix: string, length: string): OnnxValue[] =>
    Array.from({ length: layers }, (_, layer) =>
      ['key', 'value'].map((part) => ({
        name: `${prefix}.${layer}.${part}`,
        type: 'float' as const,
        dims: ['batch_size', shape.kvHeads, length, headWidth(shape)],
      })),
    ).flat();
  return {
    nodes: builder.nodes,
    initializers: builder.initializers,
    inputs: [
      { name: 'input_ids', type: 'int64', dims: ['batch_size', 'sequence_length'] },
      { name: 'attention_mask', type: 'int64', dims: ['batch_size', 'total_sequence_length'] },
      ...cache('past_key_values', 'past_sequence_length'),
    ],
    outputs: [{ name: 'logits', type: 'float', dims: ['batch_size', 1, vocabulary] }, ...cache('present', 'total_sequence_length')],
  };
}

/** What grouped-query attention asks for: the last position of each row, and the longest row. */
function attentionLengths(builder: Builder): [string, string] {
  const rows = builder.node('ReduceSum', ['attention_mask', builder.int64('mask_axis', [1])], { attributes: { keepdims: 0 } });
  const lastPosition = builder.node('Sub', [rows, builder.int64('one', [1])]);
  const maskShape = builder.node('Shape', ['attention_mask']);
  const total = builder.node('Gather', [maskShape, builder.int64('total_axis', [1], [])], { attributes: { axis: 0 } });
  const toInt32 = { attributes: { to: 6 } };
  return [builder.node('Cast', [lastPosition], toInt32), builder.node('Cast', [total], toInt32)];
}

function rotaryCaches(builder: Builder, shape: LlamaShape): [string, string] {
  const half = headWidth(shape) / 2;
  const table = (of: (angle: number) => number) =>
    Float32Array.from({ length: shape.contextTokens * half }, (_, index) => of(Math.floor(index / half) / ROPE_BASE ** ((index % half) / half)));
  const dims = [shape.contextTokens, half];
  return [builder.floats('cos_cache', table(Math.cos), dims), builder.floats('sin_cache', table(Math.sin), dims)];
}

function embedding(builder: Builder, { vocabulary, width }: LlamaShape): string {
  builder.initializers.push({ name: 'embed.q4', type: 'uint4', dims: [vocabulary, width], data: builder.random((vocabulary * width) / 2) });
  const scales = builder.scales('embed.scales', [vocabulary, width / BLOCK]);
  return builder.node('GatherBlockQuantized', ['embed.q4', 'input_ids', scales], {
    domain: 'com.microsoft',
    attributes: { block_size: BLOCK, gather_axis: 0, quantize_axis: 1 },
  });
}

function attention(builder: Builder, shape: LlamaShape, layer: number, x: string, extra: readonly string[]): string {
  const { width, heads, kvHeads } = shape;
  const packed = builder.matrix(`layer.${layer}.qkv`, x, width, width + 2 * kvWidth(shape));
  const output = `attention_${layer}`;
  builder.nodes.push({
    op: 'GroupQueryAttention',
    domain: 'com.microsoft',
    inputs: [packed, '', '', `past_key_values.${layer}.key`, `past_key_values.${layer}.value`, ...extra],
    outputs: [output, `present.${layer}.key`, `present.${layer}.value`],
    attributes: { num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1, rotary_interleaved: 0 },
  });
  return builder.matrix(`layer.${layer}.output`, output, width, width);
}

function feedForward(builder: Builder, { width, feedForward }: LlamaShape, layer: number, x: string): string {
  const gate = builder.matrix(`layer.${layer}.gate`, x, width, feedForward);
  const up = builder.matrix(`layer.${layer}.up`, x, width, feedForward);
  const swish = builder.node('Mul', [gate, builder.node('Sigmoid', [gate])]);
  return builder.matrix(`layer.${layer}.down`, builder.node('Mul', [swish, up]), feedForward, width);
}
