/** An engine that plays a script of byte chunks: for what the HTTP layer does with bytes, causes and signals, where no model matters. */
import type { Engine, GenerateOptions, GenerateResult, Piece, Placement, StopCause, TierStatus } from '../../../functions/engine/types.js';
import type { Manifest } from '../../../functions/schema/manifest.js';
import { CHAT } from '../engine-models.js';

export type Script = (options: GenerateOptions, signal: AbortSignal) => AsyncGenerator<Uint8Array, StopCause, void>;

export type ScriptedTier = Pick<TierStatus, 'id' | 'state' | 'reason'>;

export class ScriptedEngine implements Engine {
  readonly manifests: readonly Manifest[];
  readonly workers = 1;
  readonly #script: Script;
  readonly #states: ReadonlyMap<string, TierStatus>;
  /** What results say was read; 0: the tier never became warm. */
  promptPatches = 2;
  /** Every call, in order. */
  readonly calls: { readonly options: GenerateOptions; readonly signal: AbortSignal; ended: boolean }[] = [];

  /** @param chatTiers those that were tuned to chat. @param infillTiers those that were trained to fill gaps. */
  constructor(script: Script, tiers: readonly ScriptedTier[] = [{ id: 'stlm-small', state: 'ready' }], chatTiers: readonly string[] = [], infillTiers: readonly string[] = []) {
    this.#script = script;
    this.#states = new Map(
      tiers.map((tier) => [tier.id, { ...tier, workers: tier.state === 'ready' ? [0] : [], memoryBytes: tier.state === 'ready' ? 1_000 : 0 }]),
    );
    this.manifests = tiers.map(({ id }, index) => ({
      ...manifestOf(id, (index + 1) * 1_000_000),
      ...(chatTiers.includes(id) && { chat: CHAT }),
      ...(infillTiers.includes(id) && { infill: true }),
    }));
  }

  status(): readonly TierStatus[] {
    return [...this.#states.values()];
  }

  isWarm({ tier }: Placement): boolean {
    return this.#states.get(tier)?.state === 'ready';
  }

  hasRoom(): boolean {
    return true;
  }

  cachedPatches(): readonly number[] {
    return [0];
  }

  async load(): Promise<number> {
    return 1;
  }

  async *generate(_placement: Placement, options: GenerateOptions, signal: AbortSignal): AsyncGenerator<Piece, GenerateResult, void> {
    const call = { options, signal, ended: false };
    this.calls.push(call);
    let completionBytes = 0;
    try {
      const chunks = this.#script(options, signal);
      for (;;) {
        const step = await chunks.next();
        if (step.done) return resultOf(step.value, completionBytes, this.promptPatches);
        completionBytes += step.value.length;
        yield { bytes: step.value };
      }
    } finally {
      call.ended = true;
    }
  }

  async close(): Promise<void> {}
}

function resultOf(stopCause: StopCause, completionBytes: number, promptPatches: number): GenerateResult {
  const timings = { queueMs: 1, loadMs: 0, prefillMs: 2, decodeMs: 3, decodeAloneMs: 3, coreMs: 10, firstByteMs: 3 };
  return { stopCause, promptPatches, cachedPatches: 0, cachedBytes: 0, completionBytes, decodedPatches: 1, contextTruncated: false, meanBatch: 1, timings };
}

/** Says `chunks`, a patch each, and ends. */
export function says(chunks: readonly (string | readonly number[])[], cause: StopCause = 'eod'): Script {
  return async function* say() {
    for (const chunk of chunks) yield typeof chunk === 'string' ? new TextEncoder().encode(chunk) : Uint8Array.from(chunk);
    return cause;
  };
}

/** Says one word and then nothing until it is aborted: the compute of a long text. */
export async function* endless(_options: GenerateOptions, signal: AbortSignal): AsyncGenerator<Uint8Array, StopCause, void> {
  yield new TextEncoder().encode('word ');
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  return 'cancelled';
}

function manifestOf(id: string, parameters: number): Manifest {
  return {
    schemaVersion: 1,
    id,
    parameters: { unique: parameters, effective: parameters, embedding: 0 },
    patch: { ruleHash: '0'.repeat(64), cap: 12 },
    vocabulary: 272,
    context: { patches: 1_024 },
    trunk: { layers: 1, width: 8, kvHeads: 1, headDim: 8 },
    bytesPerPatch: 5,
    files: [{ name: `${id}.int4.onnx`, precision: 'int4', bytes: 1, sha256: '0'.repeat(64) }],
    defaultPrecision: 'int4',
    graph: { inputs: [{ name: 'ids', type: 'int32', shape: [1] }], outputs: [{ name: 'toks', type: 'int32', shape: [1] }] },
    evaluation: { command: '', date: '2026-05-01', bitsPerByte: [], mean: 2 },
    training: { bytesSeen: 1, commit: '', seed: 0, sources: [] },
    golden: { prompt: 'say', ids: [...new TextEncoder().encode('golden')] },
    latencySeed: { machine: 'script', threads: 1, loadMs: 1, prefillPatchMs: 0.01, decodePatchMs: 0.01 },
  };
}
