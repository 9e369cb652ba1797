/**
 * The transformer a peer runs at a tier's parameter count: llama, grouped-query attention, tied embeddings, deep and thin as
 * MobileLLM and SmolLM found best for quality at these sizes, with a vocabulary as large as still leaves weights for the trunk.
 */
export interface LlamaShape {
  readonly vocabulary: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly feedForward: number;
  readonly contextTokens: number;
}

export type ShapeKind = 'deep' | 'wide';

type Proportions = Omit<LlamaShape, 'layers' | 'contextTokens'>;

/** The largest row whose `from` is not above the wanted count; layers make up the rest. `wide` is what runs fastest on a CPU. */
const ROWS: readonly { readonly from: number; readonly deep: Proportions; readonly wide: Proportions }[] = [
  {
    from: 0,
    deep: { vocabulary: 512, width: 64, heads: 2, kvHeads: 1, feedForward: 192 },
    wide: { vocabulary: 512, width: 64, heads: 2, kvHeads: 1, feedForward: 192 },
  },
  {
    from: 3e6,
    deep: { vocabulary: 16_384, width: 256, heads: 4, kvHeads: 2, feedForward: 768 },
    wide: { vocabulary: 16_384, width: 384, heads: 6, kvHeads: 2, feedForward: 1_024 },
  },
  {
    from: 25e6,
    deep: { vocabulary: 32_000, width: 512, heads: 8, kvHeads: 2, feedForward: 1_408 },
    wide: { vocabulary: 32_000, width: 640, heads: 10, kvHeads: 2, feedForward: 2_560 },
  },
  {
    from: 75e6,
    deep: { vocabulary: 32_000, width: 576, heads: 9, kvHeads: 3, feedForward: 1_536 },
    wide: { vocabulary: 32_000, width: 896, heads: 14, kvHeads: 2, feedForward: 3_584 },
  },
];

const CONTEXT_TOKENS = 1_024;

export function llamaShape(parameters: number, kind: ShapeKind): LlamaShape {
  const proportions = ROWS.findLast(({ from }) => from <= parameters)![kind];
  const layers = Math.max(1, Math.round((parameters - proportions.vocabulary * proportions.width) / layerParameters(proportions)));
  return { ...proportions, layers, contextTokens: CONTEXT_TOKENS };
}

export function shapeParameters(shape: LlamaShape): number {
  return shape.vocabulary * shape.width + shape.layers * layerParameters(shape) + shape.width;
}

export function headWidth({ width, heads }: Pick<LlamaShape, 'width' | 'heads'>): number {
  return width / heads;
}

export function kvWidth(shape: Pick<LlamaShape, 'width' | 'heads' | 'kvHeads'>): number {
  return headWidth(shape) * shape.kvHeads;
}

function layerParameters(shape: Proportions): number {
  const attention = 2 * shape.width ** 2 + 2 * shape.width * kvWidth(shape);
  return attention + 3 * shape.width * shape.feedForward + 2 * shape.width;
}
