/** Protocol-buffer encoding, as much of it as an ONNX model takes (protobuf.dev/programming-guides/encoding). */
export type Field =
  | { readonly number: number; readonly kind: 'varint'; readonly value: number }
  | { readonly number: number; readonly kind: 'float'; readonly value: number }
  | { readonly number: number; readonly kind: 'bytes'; readonly value: Uint8Array | string | readonly Field[] };

export const varint = (number: number, value: number): Field => ({ number, kind: 'varint', value });
export const float = (number: number, value: number): Field => ({ number, kind: 'float', value });
/** A string, raw bytes, or a nested message. */
export const bytes = (number: number, value: Uint8Array | string | readonly Field[]): Field => ({ number, kind: 'bytes', value });

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;

export function encode(fields: readonly Field[]): Uint8Array {
  const parts = fields.flatMap(encodeField);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function encodeField(field: Field): Uint8Array[] {
  switch (field.kind) {
    case 'varint':
      return [encodeVarint(field.number * 8 + VARINT), encodeVarint(field.value)];
    case 'float':
      return [encodeVarint(field.number * 8 + FIXED_32), new Uint8Array(Float32Array.of(field.value).buffer)];
    case 'bytes': {
      const content = contentOf(field.value);
      return [encodeVarint(field.number * 8 + LENGTH_DELIMITED), encodeVarint(content.length), content];
    }
  }
}

function contentOf(value: Uint8Array | string | readonly Field[]): Uint8Array {
  if (typeof value === 'string') return new TextEncoder().encode(value);
  return value instanceof Uint8Array ? value : encode(value);
}

/** Of a number that is not negative; by division, because shifts end at 32 bits. */
function encodeVarint(value: number): Uint8Array {
  const groups = [];
  let rest = value;
  do {
    groups.push(rest % 128 | (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Uint8Array.from(groups);
}
