/** ONNX models out of plain objects; field numbers as in onnx/onnx.proto. */
import { bytes, encode, type Field, float, varint } from './protobuf.js';

export type ElementType = 'float' | 'uint8' | 'int32' | 'int64' | 'uint4';

const ELEMENT_TYPE: Record<ElementType, number> = { float: 1, uint8: 2, int32: 6, int64: 7, uint4: 21 };
const ATTRIBUTE_FLOAT = 1;
const ATTRIBUTE_INT = 2;
const IR_VERSION = 10;

export interface OnnxNode {
  readonly op: string;
  readonly domain?: 'com.microsoft';
  /** An empty name leaves an optional input or output out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number>>;
  /** Attributes that ONNX types as float although their value may be whole. */
  readonly floatAttributes?: Readonly<Record<string, number>>;
}

export interface OnnxTensor {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
  /** Little-endian; two 4-bit values a byte. */
  readonly data: Uint8Array;
}

export interface OnnxValue {
  readonly name: string;
  readonly type: ElementType;
  /** A string names a free dimension. */
  readonly dims: readonly (number | string)[];
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

export function encodeOnnx({ nodes, initializers, inputs, outputs }: OnnxGraph): Uint8Array {
  return encode([
    varint(1, IR_VERSION),
    bytes(7, [
      ...nodes.map((node, index) => bytes(1, nodeFields(node, index))),
      bytes(2, 'main'),
      ...initializers.map((tensor) => bytes(5, tensorFields(tensor))),
      ...inputs.map((value) => bytes(11, valueFields(value))),
      ...outputs.map((value) => bytes(12, valueFields(value))),
    ]),
    bytes(8, [bytes(1, ''), varint(2, 21)]),
    bytes(8, [bytes(1, 'com.microsoft'), varint(2, 1)]),
  ]);
}

function nodeFields({ op, domain, inputs, outputs, attributes = {}, floatAttributes = {} }: OnnxNode, index: number): Field[] {
  return [
    ...inputs.map((name) => bytes(1, name)),
    ...outputs.map((name) => bytes(2, name)),
    bytes(3, `${op}_${index}`),
    bytes(4, op),
    ...Object.entries(attributes).map(([name, value]) => bytes(5, [bytes(1, name), varint(3, value), varint(20, ATTRIBUTE_INT)])),
    ...Object.entries(floatAttributes).map(([name, value]) => bytes(5, [bytes(1, name), float(2, value), varint(20, ATTRIBUTE_FLOAT)])),
    ...(domain === undefined ? [] : [bytes(7, domain)]),
  ];
}

function tensorFields({ name, type, dims, data }: OnnxTensor): Field[] {
  return [...dims.map((dim) => varint(1, dim)), varint(2, ELEMENT_TYPE[type]), bytes(8, name), bytes(9, data)];
}

function valueFields({ name, type, dims }: OnnxValue): Field[] {
  const shape = dims.map((dim) => bytes(1, [typeof dim === 'number' ? varint(1, dim) : bytes(2, dim)]));
  return [bytes(1, name), bytes(2, [bytes(1, [varint(1, ELEMENT_TYPE[type]), bytes(2, shape)])])];
}
