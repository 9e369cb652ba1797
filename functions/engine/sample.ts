/**
 * The sampling inputs of the graph. Sampling is the Gumbel-max trick: argmax(logits + temperature x Gumbel noise) is a draw from
 * softmax(logits / temperature), so the host draws noise and the graph only takes maxima. Bias, bans and forced ids are added to
 * the same tensor.
 *
 * @module
 */
import { PATCH_CAP, SPECIAL, VOCABULARY } from './patch.js';

const BAN = -1e9;
export const FORCE = 1e9;
/** The graph takes noise above 50 for the host's decision and lets it pass every filter: more than that, and than any logit. */
const INSIST = 200;

/** 16 random bits a draw: two draws from one 32-bit word. The largest gap between two draws is 14.2 nat. */
const QUANTILES = 1 << 16;

/** Quantiles of the standard Gumbel distribution at the midpoints: a look-up is 20x cheaper than two logarithms. */
const gumbelQuantile = Float32Array.from({ length: QUANTILES }, (_, index) => -Math.log(-Math.log((index + 0.5) / QUANTILES)));

/** The ids a continuation may hold: every byte, and the two that end a text. */
const sampledIds = Uint16Array.from([...Array(256).keys(), SPECIAL.eod, SPECIAL.end_of_turn]);

/** sfc32 (Doty-Humphrey, PractRand): 128 bits of state, 32-bit arithmetic only, so it is the same on every machine. */
export class SeededRandom {
  #a: number;
  #b: number;
  #c = 0x9e3779b9 | 0;
  #counter = 1;

  /** `seed`: any safe integer; all its bits count. */
  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    // Nearby seeds start with nearby states; 15 rounds part them.
    for (let round = 0; round < 15; round += 1) this.next();
  }

  /** The next 32 bits, as a signed integer. */
  next(): number {
    const word = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + word) | 0;
    return word;
  }
}

export interface NoiseOptions {
  /** 0 = greedy. */
  readonly temperature: number;
  readonly logitBias: ReadonlyMap<number, number>;
}

/** The graph's `noise` input for one row: float32 [PATCH_CAP, 1, VOCABULARY], rewritten in place before every decoded patch. */
export class PatchNoise {
  readonly data = new Float32Array(PATCH_CAP * VOCABULARY);
  readonly #base = new Float32Array(VOCABULARY).fill(BAN);
  readonly #temperature: number;
  readonly #random: SeededRandom;
  /** Turns that hold more than draws and biases. */
  #changedTurns = 0;

  constructor({ temperature, logitBias }: NoiseOptions, random: SeededRandom) {
    this.#temperature = temperature;
    this.#random = random;
    for (const id of sampledIds) this.#base[id] = logitBias.get(id) ?? 0;
    for (let turn = 0; turn < PATCH_CAP; turn += 1) this.data.set(this.#base, turn * VOCABULARY);
  }

  /**
   * Prepares the next patch, whose first ids are `forced`. `spentTurns`: how many the patch before took. No draw is used twice; those that it
   * left are as good as new, and half of the work of drawing all.
   */
  prepare(forced: ArrayLike<number>, spentTurns = PATCH_CAP): void {
    if (this.#temperature > 0) {
      this.#draw(Math.max(spentTurns, this.#changedTurns));
    } else {
      for (let turn = 0; turn < this.#changedTurns; turn += 1) this.data.set(this.#base, turn * VOCABULARY);
    }
    for (let turn = 0; turn < forced.length; turn += 1) this.data[turn * VOCABULARY + (forced[turn] as number)] = FORCE;
    this.#changedTurns = forced.length;
  }

  /** Bans from one turn of the patch prepared all but the `allowed` ids, uint8 [VOCABULARY]; `insists`: one of these has to come. */
  restrict(turn: number, allowed: Uint8Array, insists: boolean): void {
    for (const id of sampledIds) {
      const at = turn * VOCABULARY + id;
      if (allowed[id] === 0) this.data[at] = BAN;
      else if (insists) this.data[at] = (this.data[at] as number) + INSIST;
    }
    this.#changedTurns = Math.max(this.#changedTurns, turn + 1);
  }

  #draw(turns: number): void {
    const { data } = this;
    const base = this.#base;
    const temperature = this.#temperature;
    for (let start = 0; start < turns * VOCABULARY; start += VOCABULARY) {
      for (let index = 0; index < sampledIds.length; index += 2) {
        const word = this.#random.next();
        const even = sampledIds[index] as number;
        const odd = sampledIds[index + 1] as number;
        data[start + even] = (base[even] as number) + temperature * (gumbelQuantile[word & 0xffff] as number);
        data[start + odd] = (base[odd] as number) + temperature * (gumbelQuantile[word >>> 16] as number);
      }
    }
  }
}
