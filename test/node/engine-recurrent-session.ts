import { isWordByte, PATCH_CAP, SPECIAL, VOCABULARY } from '../../functions/engine/patch.js';
import type { Feeds, Session, Tensor } from '../../functions/engine/session.js';

/**
 * A session with the graph's contract and no weights: a recurrent hash whose state lives in the KV cache. Every output depends
 * on every patch before it, so a row written to the wrong slot, read twice or forgotten changes the text that follows.
 */
export class RecurrentSession implements Session {
  static readonly shape = { trunk: { layers: 2, kvHeads: 2, headDim: 1 }, contextPatches: 64, chunkPatches: 64 };
  /** Of how many texts, patches read of each, and whether a patch was decoded, run by run; `past` is the first text's. */
  readonly runs: { patches: number; past: number; decodes: boolean; texts: number }[] = [];
  /** By run. */
  readonly outputs: (readonly string[])[] = [];
  /** Every id it has yielded. */
  readonly decoded: number[] = [];
  /** A greedy text never ends by itself, and a sampled one hardly, unless this is raised. */
  endLogit = 0.5;
  /** Called within each run. */
  onRun: () => void = () => {};

  tensor(type: string, data: unknown, dims: readonly number[]): Tensor {
    return { type, data, dims };
  }

  async run(feeds: Feeds, outputs: readonly string[]): Promise<Record<string, Tensor>> {
    const ids = input(feeds, 'ids').data as Int32Array;
    const pos = input(feeds, 'pos').data as BigInt64Array;
    const [texts, rows, cap] = input(feeds, 'ids').dims as [number, number, number];
    const patches = rows - 1;
    const seqk = input(feeds, 'seqk').data as Int32Array;
    const pasts = Array.from(seqk, (last) => last - patches + 1);
    const decodes = (input(feeds, 'steps').data as BigInt64Array)[0] === BigInt(PATCH_CAP);
    const total = (input(feeds, 'tot').data as Int32Array)[0]!;
    if (cap !== PATCH_CAP || seqk.length !== texts || Math.max(...pasts) + patches !== total) throw new Error('inconsistent inputs');
    if (texts > 1 && patches > 1) throw new Error('a batch reads one patch');
    this.runs.push({ patches, past: pasts[0]!, decodes, texts });
    this.outputs.push(outputs);
    this.onRun();

    const newkv = new Float32Array(texts * patches * 8);
    const states: { state: number; ids: Int32Array }[] = [];
    for (const [text, past] of pasts.entries()) {
      let state = past === 0 ? 1 : this.#stateAt(feeds, text, past - 1);
      const own = ids.subarray(text * rows * PATCH_CAP, (text + 1) * rows * PATCH_CAP);
      for (let patch = 0; patch < patches; patch += 1) {
        state = mix(state, Number(pos[text * patches + patch]));
        // The row before the window feeds hash features only, as in the model: it colours the first patch.
        for (const id of own.subarray(patch * PATCH_CAP, (patch + 2) * PATCH_CAP)) state = mix(state, id);
        for (let slot = 0; slot < 8; slot += 1) newkv[(text * patches + patch) * 8 + slot] = slotValue(state, slot);
        states.push({ state, ids: own.subarray(0, (patch + 2) * PATCH_CAP) });
      }
    }
    const steps = Number((input(feeds, 'steps').data as BigInt64Array)[0]);
    const sel = [...(input(feeds, 'sel').data as Int32Array)];
    const decoded = sel.map((at, row) => Array.from(this.#decode(states[at]!, this.#noiseOf(feeds, row, sel.length), steps)));
    const turns = Math.max(...decoded.map(({ length }) => length));
    const table = Array.from({ length: turns * sel.length }, (_, at) => decoded[at % sel.length]![Math.floor(at / sel.length)]);
    for (const ids of decoded) this.decoded.push(...ids.map(({ id }) => id));
    const all: Record<string, Tensor> = {
      newkv: this.tensor('float32', newkv, [texts, patches, 8]),
      toks: this.tensor('int32', Int32Array.from(table, (cell) => cell?.id ?? SPECIAL.pad), [turns, sel.length]),
    };
    if (outputs.includes('lp')) all['lp'] = this.tensor('float32', Float32Array.from(table, (cell) => (cell ? logSoftmax(cell.logits)[cell.id]! : 0)), [turns, sel.length]);
    if (outputs.includes('logprobs')) {
      const rows = table.flatMap((cell) => Array.from(cell ? logSoftmax(cell.logits) : new Float32Array(VOCABULARY)));
      all['logprobs'] = this.tensor('float32', Float32Array.from(rows), [turns, sel.length, VOCABULARY]);
    }
    return Object.fromEntries(outputs.map((name) => [name, all[name] as Tensor]));
  }

  /** The state after a cached patch; every layer, head, key and value must agree on it. */
  #stateAt(feeds: Feeds, text: number, patch: number): number {
    const states = new Set<number>();
    for (const [buffer, name] of ['pk0', 'pv0', 'pk1', 'pv1'].entries()) {
      const { data, dims } = input(feeds, name);
      for (let head = 0; head < 2; head += 1) {
        const value = (data as Float32Array)[(text * 2 + head) * (dims[2] as number) + patch] as number;
        states.add(value - (buffer * 2 + head) * SLOT);
      }
    }
    if (states.size !== 1) throw new Error('the cache disagrees with itself');
    return [...states][0] as number;
  }

  /** Of one text: [PATCH_CAP, VOCABULARY]. */
  #noiseOf(feeds: Feeds, text: number, texts: number): Float32Array {
    const noise = input(feeds, 'noise').data as Float32Array;
    const own = new Float32Array(PATCH_CAP * VOCABULARY);
    for (let turn = 0; turn < PATCH_CAP; turn += 1) {
      const from = (turn * texts + text) * VOCABULARY;
      own.set(noise.subarray(from, from + VOCABULARY), turn * VOCABULARY);
    }
    return own;
  }

  *#decode({ state, ids }: { state: number; ids: Int32Array }, noise: Float32Array, steps: number): Generator<{ id: number; logits: Float32Array }> {
    let afterWord = isWordByte(ids.subarray(-PATCH_CAP).findLast((id) => id !== SPECIAL.pad) as number);
    let inner = state;
    for (let turn = 0; turn < steps; turn += 1) {
      const logits = new Float32Array(VOCABULARY);
      let best = 0;
      let bestScore = -Infinity;
      for (let id = 0; id < VOCABULARY; id += 1) {
        logits[id] = logit(inner, id, this.endLogit);
        const score = logits[id]! + (noise[turn * VOCABULARY + id] as number);
        if (score > bestScore) [best, bestScore] = [id, score];
      }
      yield { id: best, logits };
      if (best >= 256 || (afterWord && !isWordByte(best))) return;
      afterWord = isWordByte(best);
      inner = mix(inner, best);
    }
  }
}

function logSoftmax(logits: Float32Array): Float32Array {
  const total = logits.reduce((sum, one) => sum + Math.exp(one), 0);
  return logits.map((one) => one - Math.log(total));
}

const SLOT = 1 << 20;
const LETTERS = 'abcdefghijklm nop. \n';

/** Prefers a few letters and separators; specials that are not banned would win. */
function logit(state: number, id: number, endLogit: number): number {
  if (id === SPECIAL.eod || id === SPECIAL.end_of_turn) return endLogit;
  const preferred = id < 128 && LETTERS.includes(String.fromCharCode(id));
  return (id >= 256 ? 9 : preferred ? 4 : 0) + (mix(state, id) / SLOT) * 4;
}

/** 20 bits, so that a float32 slot holds it exactly. */
function mix(state: number, value: number): number {
  let hash = Math.imul(state ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(value + 1, 0xc2b2ae35);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x27d4eb2f) >>> 12;
}

function slotValue(state: number, slot: number): number {
  return state + slot * SLOT;
}

function input(feeds: Feeds, name: string): Tensor {
  const tensor = feeds[name];
  if (tensor === undefined) throw new Error(`input ${name} is missing`);
  return tensor;
}
