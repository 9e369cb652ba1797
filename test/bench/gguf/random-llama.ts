/** A llama model of random weights: what it says is noise, what it costs is what a trained one of that shape costs. */
import { headWidth, kvWidth, type LlamaShape } from '../llama-shape.js';
import { seededBytes } from '../../load/seeded.js';
import { BLOCK, type GgufTensor, type GgufValue, tensorBytes, writeGguf } from './gguf-file.js';

export async function writeRandomLlama(path: string, shape: LlamaShape, type: 'Q4_0' | 'Q8_0'): Promise<void> {
  await writeGguf(path, metadata(shape, type), tensors(shape, type));
}

/** llama.cpp's names for the file's main type. */
const FILE_TYPE = { Q4_0: 2, Q8_0: 7 } as const;

function metadata(shape: LlamaShape, type: 'Q4_0' | 'Q8_0'): Record<string, GgufValue> {
  const uint32 = (value: number): GgufValue => ({ kind: 'uint32', value });
  const float32 = (value: number): GgufValue => ({ kind: 'float32', value });
  const string = (value: string): GgufValue => ({ kind: 'string', value });
  return {
    'general.architecture': string('llama'),
    'general.name': string(`random ${shape.layers}x${shape.width}`),
    'general.file_type': uint32(FILE_TYPE[type]),
    'general.quantization_version': uint32(2),
    'llama.vocab_size': uint32(shape.vocabulary),
    'llama.context_length': uint32(shape.contextTokens),
    'llama.embedding_length': uint32(shape.width),
    'llama.block_count': uint32(shape.layers),
    'llama.feed_forward_length': uint32(shape.feedForward),
    'llama.rope.dimension_count': uint32(headWidth(shape)),
    'llama.rope.freq_base': float32(10_000),
    'llama.attention.head_count': uint32(shape.heads),
    'llama.attention.head_count_kv': uint32(shape.kvHeads),
    'llama.attention.layer_norm_rms_epsilon': float32(1e-5),
    ...vocabulary(shape.vocabulary),
  };
}

/** SentencePiece's order: three specials, a token for each byte, then pieces; what they spell does not matter here. */
function vocabulary(size: number): Record<string, GgufValue> {
  const SPECIAL_TYPES = [2, 3, 3];
  const BYTE_TYPE = 6;
  const NORMAL_TYPE = 1;
  const specials = ['<unk>', '<s>', '</s>'];
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const pieces = Array.from({ length: size - 259 }, (_, index) => `▁${index.toString(36)}`);
  return {
    'tokenizer.ggml.model': { kind: 'string', value: 'llama' },
    'tokenizer.ggml.tokens': { kind: 'strings', value: [...specials, ...bytes, ...pieces] },
    'tokenizer.ggml.scores': { kind: 'float32s', value: Array.from({ length: size }, (_, index) => -index) },
    'tokenizer.ggml.token_type': {
      kind: 'int32s',
      value: [...SPECIAL_TYPES, ...bytes.map(() => BYTE_TYPE), ...pieces.map(() => NORMAL_TYPE)],
    },
    'tokenizer.ggml.bos_token_id': { kind: 'uint32', value: 1 },
    'tokenizer.ggml.eos_token_id': { kind: 'uint32', value: 2 },
    'tokenizer.ggml.unknown_token_id': { kind: 'uint32', value: 0 },
  };
}

/** Without an `output` tensor llama.cpp ties it to the embedding. */
function tensors(shape: LlamaShape, type: 'Q4_0' | 'Q8_0'): GgufTensor[] {
  const { width, feedForward } = shape;
  const kv = kvWidth(shape);
  let seed = 0;
  const matrix = (name: string, into: number, outOf: number): GgufTensor => {
    const dims = [into, outOf];
    seed += 1;
    const own = seed;
    return { name, type, dims, data: () => randomBlocks(type, dims, own) };
  };
  const ones = (name: string): GgufTensor => ({ name, type: 'F32', dims: [width], data: () => new Uint8Array(new Float32Array(width).fill(1).buffer) });
  const layers = Array.from({ length: shape.layers }, (_, layer) => [
    ones(`blk.${layer}.attn_norm.weight`),
    matrix(`blk.${layer}.attn_q.weight`, width, width),
    matrix(`blk.${layer}.attn_k.weight`, width, kv),
    matrix(`blk.${layer}.attn_v.weight`, width, kv),
    matrix(`blk.${layer}.attn_output.weight`, width, width),
    ones(`blk.${layer}.ffn_norm.weight`),
    matrix(`blk.${layer}.ffn_gate.weight`, width, feedForward),
    matrix(`blk.${layer}.ffn_up.weight`, width, feedForward),
    matrix(`blk.${layer}.ffn_down.weight`, feedForward, width),
  ]).flat();
  return [matrix('token_embd.weight', width, shape.vocabulary), ones('output_norm.weight'), ...layers];
}

/** f16 bits of the scales 0.00390625 and 0.0002441: either way weights of about ±0.03. */
const SCALE: Record<'Q4_0' | 'Q8_0', number> = { Q4_0: 0x1c00, Q8_0: 0x0c00 };

function randomBlocks(type: 'Q4_0' | 'Q8_0', dims: readonly number[], seed: number): Uint8Array {
  const data = seededBytes(tensorBytes({ type, dims }), seed);
  const scale = SCALE[type];
  for (let at = 0; at < data.length; at += BLOCK[type].bytes) {
    data[at] = scale & 0xff;
    data[at + 1] = scale >> 8;
  }
  return data;
}

