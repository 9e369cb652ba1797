/**
 * Writes GGUF version 3, the model format of llama.cpp: a header of typed key-value pairs, a table of tensors, and their data, each
 * aligned to 32 bytes. Layout as in ggml's docs/gguf.md. Only the value types that a llama model needs.
 */
import { open } from 'node:fs/promises';

export type GgufValue =
  | { readonly kind: 'uint32'; readonly value: number }
  | { readonly kind: 'float32'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'float32s'; readonly value: readonly number[] }
  | { readonly kind: 'int32s'; readonly value: readonly number[] };

export type TensorType = 'F32' | 'Q4_0' | 'Q8_0';

export interface GgufTensor {
  readonly name: string;
  readonly type: TensorType;
  /** ggml order: the contiguous dimension first. */
  readonly dims: readonly number[];
  /** `tensorBytes` of them; called when the tensor is written, so that no model is held in memory whole. */
  readonly data: () => Uint8Array;
}

const ALIGNMENT = 32;
const TENSOR_TYPE: Record<TensorType, number> = { F32: 0, Q4_0: 2, Q8_0: 8 };
const VALUE_TYPE = { uint32: 4, int32: 5, float32: 6, string: 8, array: 9 } as const;

/** Bytes of a block, and the weights in it. A quantised block is an f16 scale and 32 weights of 4 or 8 bits. */
export const BLOCK: Record<TensorType, { readonly bytes: number; readonly weights: number }> = {
  F32: { bytes: 4, weights: 1 },
  Q4_0: { bytes: 18, weights: 32 },
  Q8_0: { bytes: 34, weights: 32 },
};

export function tensorBytes({ type, dims }: Pick<GgufTensor, 'type' | 'dims'>): number {
  const weights = dims.reduce((product, dim) => product * dim, 1);
  return (weights / BLOCK[type].weights) * BLOCK[type].bytes;
}

export async function writeGguf(path: string, metadata: Readonly<Record<string, GgufValue>>, tensors: readonly GgufTensor[]): Promise<void> {
  const header = new ByteWriter();
  header.raw(new TextEncoder().encode('GGUF'));
  header.uint32(3);
  header.uint64(tensors.length);
  header.uint64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    header.string(key);
    writeValue(header, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    header.string(tensor.name);
    header.uint32(tensor.dims.length);
    for (const dim of tensor.dims) header.uint64(dim);
    header.uint32(TENSOR_TYPE[tensor.type]);
    header.uint64(offset);
    offset += aligned(tensorBytes(tensor));
  }
  const file = await open(path, 'w');
  try {
    await file.write(padded(header.bytes()));
    for (const tensor of tensors) await file.write(padded(tensor.data()));
  } finally {
    await file.close();
  }
}

function writeValue(to: ByteWriter, value: GgufValue): void {
  switch (value.kind) {
    case 'uint32':
      to.uint32(VALUE_TYPE.uint32);
      return to.uint32(value.value);
    case 'float32':
      to.uint32(VALUE_TYPE.float32);
      return to.float32(value.value);
    case 'string':
      to.uint32(VALUE_TYPE.string);
      return to.string(value.value);
    case 'strings':
      return to.array(VALUE_TYPE.string, value.value, (item) => to.string(item));
    case 'float32s':
      return to.array(VALUE_TYPE.float32, value.value, (item) => to.float32(item));
    case 'int32s':
      return to.array(VALUE_TYPE.int32, value.value, (item) => to.uint32(item));
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.length % ALIGNMENT === 0) return bytes;
  const whole = new Uint8Array(aligned(bytes.length));
  whole.set(bytes);
  return whole;
}

/** Little-endian, growing. */
class ByteWriter {
  #buffer = new Uint8Array(1 << 16);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  uint64(value: number): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, BigInt(value), true);
    this.#length += 8;
  }

  float32(value: number): void {
    this.#reserve(4);
    this.#view.setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  string(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.uint64(bytes.length);
    this.raw(bytes);
  }

  array<T>(type: number, items: readonly T[], write: (item: T) => void): void {
    this.uint32(VALUE_TYPE.array);
    this.uint32(type);
    this.uint64(items.length);
    for (const item of items) write(item);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#buffer.length) return;
    const larger = new Uint8Array(2 * (this.#length + more));
    larger.set(this.bytes());
    this.#buffer = larger;
    this.#view = new DataView(larger.buffer);
  }
}
