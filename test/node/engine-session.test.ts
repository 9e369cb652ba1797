import { mkdir, mkdtemp, readFile, readdir, rm, stat, truncate, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ModelSession } from '../../functions/engine/onnx-runtime.js';
import { bestRuntime, openSession } from '../../functions/engine/open-session.js';
import { Pace } from '../../functions/engine/pace.js';
import { PatchSplitter, SPECIAL, VOCABULARY } from '../../functions/engine/patch.js';
import { Runner } from '../../functions/engine/runner.js';
import type { Feeds, Session, Tensor } from '../../functions/engine/session.js';
import type { GenerateOptions } from '../../functions/engine/types.js';
import { compileGrammar } from '../../functions/grammar/grammars.js';
import { bytesOf, greedy, textOf, tinyModel } from './engine-models.js';
import { Solo } from './engine-solo.js';
import { sha256 } from './registry-artifact.js';

const model = await tinyModel();
const PROMPT = 'The city was built on the river, and ';

const { runtime } = await bestRuntime();

let session: ModelSession;
beforeAll(async () => {
  session = await openSession(model.file, { runtime, threads: 1 });
});
afterAll(() => session.release());

const endless = new Map([...Array(256).keys()].map((byte) => [byte, 40]));

function begin(options: GenerateOptions & { seed: number }, on: Session = session, contextPatches = model.shape.contextPatches): Solo {
  const pace = new Pace({ prefillPatchMs: 0, decodePatchMs: 0 });
  return new Solo({ session: on, shape: { ...model.shape, contextPatches }, pace, nowMs: () => 0 }, options);
}

async function finish(generation: Solo): Promise<string> {
  const chunks: Uint8Array[] = [];
  while (generation.outcome === undefined) chunks.push(await generation.step());
  return textOf(chunks);
}

const generate = (prompt: string, options: Partial<GenerateOptions> = {}) => finish(begin(greedy(prompt, options)));

const PENALTIES = { frequencyPenalty: 0.6, presencePenalty: 0.9 };

/** Checks that each byte is the likeliest of those that may follow, less its penalties; how often each came. */
async function penalised(solo: Solo, mayFollow: (text: string) => number[]): Promise<Float32Array> {
  const counts = new Float32Array(VOCABULARY);
  let text = '';
  while (solo.outcome === undefined) {
    for (const { logprobs } of await solo.stepPieces()) {
      for (const [index, id] of logprobs!.ids.entries()) {
        const { topIds, topLogprobs } = logprobs!;
        const own = topIds.slice(index * VOCABULARY, (index + 1) * VOCABULARY);
        const score = (other: number) =>
          topLogprobs[index * VOCABULARY + own.indexOf(other)]! - PENALTIES.frequencyPenalty * counts[other]! - (counts[other]! > 0 ? PENALTIES.presencePenalty : 0);
        expect(score(id)).toBeGreaterThan(Math.max(...mayFollow(text).map(score)) - 1e-4);
        counts[id]! += 1;
        text += String.fromCharCode(id);
      }
    }
  }
  return counts;
}

/** Keeps what the graph was asked and what it answered. */
class RecordingSession implements Session {
  readonly patches: number[][] = [];
  readonly readPatches: number[] = [];
  readonly tensor: Session['tensor'];

  constructor(readonly inner: ModelSession) {
    this.tensor = inner.tensor.bind(inner) as Session['tensor'];
  }

  async run(feeds: Feeds, outputs: readonly string[]): Promise<Readonly<Record<string, Tensor>>> {
    const results = await this.inner.run(feeds, outputs);
    this.readPatches.push((feeds['ids']?.dims[1] as number) - 1);
    if (results['toks'] !== undefined) this.patches.push([...(results['toks'].data as Int32Array)].filter((id) => id !== SPECIAL.pad));
    return results;
  }
}

describe('the test model', () => {
  test('reproduces the golden text of its manifest', async () => {
    const { prompt, ids } = model.manifest.golden;
    const end = ids.findIndex((id) => id >= 256);
    const text = String.fromCharCode(...(end === -1 ? ids : ids.slice(0, end)));
    expect(await finish(begin({ ...greedy(''), prompt: new TextEncoder().encode(prompt), maxBytes: ids.length }))).toBe(text);
  });

  test('gives the same greedy text every time', async () => {
    expect(await generate(PROMPT)).toBe(await generate(PROMPT));
  });

  test('continues a prompt cut at any byte as it continues the whole', async () => {
    const whole = await generate(PROMPT, { maxBytes: 40 });
    const rests: string[] = [];
    for (let cut = 0; cut < 40; cut += 1) rests.push(await generate(PROMPT + whole.slice(0, cut), { maxBytes: 40 - cut }));
    expect(rests).toEqual(rests.map((_, cut) => whole.slice(cut)));
  });

  test('forces the beginning of a word through a filter that would refuse it', async () => {
    const whole = await generate(PROMPT, { temperature: 1, topK: 1, maxBytes: 20 });
    expect(whole).toBe(await generate(PROMPT, { maxBytes: 20 }));
    const unlikely = await generate('the zqxj', { temperature: 1, topK: 1, maxBytes: 20 });
    expect(unlikely).toBe(await generate('the zqxj', { maxBytes: 20 }));
  });

  test('cuts its patches where the rule says', async () => {
    const recording = new RecordingSession(session);
    const text = await finish(begin(greedy('The ', { temperature: 1.2, maxBytes: 300, logitBias: endless, seed: 4 }), recording));
    const splitter = new PatchSplitter();
    for (const id of [SPECIAL.bod, ...bytesOf('The ')]) splitter.endsPatch(id);
    expect(recording.patches.length).toBeGreaterThan(25);
    for (const patch of recording.patches) {
      const ends = patch.map((id) => splitter.endsPatch(id));
      expect(ends).toEqual(patch.map((_, index) => index === patch.length - 1));
    }
    expect(String.fromCharCode(...recording.patches.flat()).startsWith(text)).toBe(true);
  });

  test('reads a prompt in several runs as in one', async () => {
    const prompt = 'The river ran by the old city walls. '.repeat(10);
    const recording = new RecordingSession(session);
    const chunked = await finish(begin(greedy(prompt), recording));
    expect(recording.readPatches.slice(0, 6)).toEqual([16, 16, 16, 16, 16, 1]);
    // Fed patch by patch: the text so far as prompt, one patch decoded at a time.
    let patchwise = '';
    while (patchwise.length < 60) {
      const one = begin(greedy(prompt + patchwise, { maxBytes: 60 - patchwise.length }));
      let bytes = new Uint8Array();
      while (bytes.length === 0 && one.outcome === undefined) bytes = new Uint8Array(await one.step());
      if (bytes.length === 0) break;
      patchwise += textOf([bytes]);
    }
    expect(chunked).toBe(patchwise);
  });

  test('interleaves generations without changing any of them', async () => {
    const options = ['One ', 'In the beginning there were ', 'x'].map((prompt, seed) => greedy(prompt, { temperature: 0.9, topP: 0.95, seed }));
    const alone = await Promise.all(options.map((each) => finish(begin(each))));
    const together = options.map((each) => ({ generation: begin(each), chunks: [] as Uint8Array[] }));
    while (together.some(({ generation }) => generation.outcome === undefined)) {
      for (const { generation, chunks } of together) chunks.push(await generation.step());
    }
    expect(together.map(({ chunks }) => textOf(chunks))).toEqual(alone);
  });

  test('filters each text of a run as it asked, and one that asked for nothing not at all', async () => {
    const options = [
      greedy(PROMPT, { temperature: 1, seed: 3, logitBias: endless }),
      greedy('One ', { temperature: 1, topK: 2, seed: 4, logitBias: endless }),
      greedy('x', { logitBias: endless }),
    ];
    const alone = await Promise.all(options.map((each) => finish(begin(each))));
    const together = options.map((each) => begin(each).generation);
    const runner = new Runner({ session, trunk: model.shape.trunk, pace: new Pace({ prefillPatchMs: 0, decodePatchMs: 0 }), nowMs: () => 0 });
    for (const generation of together) while (!generation.ready) await runner.run([generation]);
    while (together.some(({ outcome }) => outcome === undefined)) await runner.run(together.filter(({ outcome }) => outcome === undefined));
    expect(together.map((generation) => textOf(generation.takePieces().map(({ bytes }) => bytes)))).toEqual(alone);
  });

  test('penalises every byte by what the text had before it, within a patch and across, the prompt and forced bytes apart', async () => {
    for (const prompt of [PROMPT, 'the the the th', '']) {
      const counts = await penalised(begin(greedy(prompt, { ...PENALTIES, logprobs: VOCABULARY, logitBias: endless })), () => [...Array(256).keys()]);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(60);
    }
  });

  test('penalises what a form had decoded anew as what was written', async () => {
    // So many words that what may come cannot be known far ahead: patches are cut, and go on from where they followed.
    const words = Array.from({ length: 200 }, (_, index) => ((index * 7919 + 4_321) % 16_384).toString(4).padStart(7, '0').replaceAll(/\d/g, (digit) => 'eaon'[Number(digit)]!));
    const grammar = compileGrammar({ kind: 'regex', regex: `(?:(?:${words.join('|')}) ){8}` });
    const mayFollow = (text: string) => {
      const begun = text.slice(text.lastIndexOf(' ') + 1);
      return words.filter((word) => `${word} `.startsWith(begun)).map((word) => `${word} `.charCodeAt(begun.length));
    };
    const solo = begin(greedy(PROMPT, { ...PENALTIES, logprobs: VOCABULARY, grammar, maxBytes: 200 }));
    await penalised(solo, mayFollow);
    expect(solo.outcome!.decodedPatches).toBeGreaterThan(10);
  });

  test('repeats a sampled text for its seed only', async () => {
    const sampled = await generate(PROMPT, { temperature: 1, seed: 21 });
    expect(await generate(PROMPT, { temperature: 1, seed: 21 })).toBe(sampled);
    expect(await generate(PROMPT, { temperature: 1, seed: 22 })).not.toBe(sampled);
  });

  test('goes on when its context is full', async () => {
    const generation = begin(greedy('The ', { maxBytes: 200, logitBias: endless }), session, 16);
    const text = await finish(generation);
    expect(text).toHaveLength(200);
    expect(generation.outcome?.contextTruncated).toBe(true);
  });

  test.each([0.1, 5])('never yields anything but bytes and the end of a text, at temperature %d', async (temperature) => {
    const recording = new RecordingSession(session);
    await finish(begin(greedy('', { temperature, maxBytes: 200, seed: 9 }), recording));
    const specials = recording.patches.flat().filter((id) => id >= 256);
    expect(specials.every((id) => id === SPECIAL.eod || id === SPECIAL.end_of_turn)).toBe(true);
  });
});

describe('a prepared model', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'stlm-prepared-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const generatePrepared = async () => {
    const prepared = await openSession(model.file, { runtime, threads: 1, preparedFolder: folder });
    const text = await finish(begin(greedy(PROMPT, { temperature: 1, topP: 0.9 }), prepared));
    await prepared.release();
    return text;
  };
  const onlyFile = async () => {
    const names = await readdir(folder);
    expect(names).toHaveLength(1);
    return join(folder, names[0]!);
  };

  test('gives the same text as the ONNX file it was made from', async () => {
    const expected = await generate(PROMPT, { temperature: 1, topP: 0.9 });
    expect(await generatePrepared()).toBe(expected);
    await onlyFile();
    expect(await generatePrepared()).toBe(expected);
  });

  test('is made once', async () => {
    await generatePrepared();
    const path = await onlyFile();
    const past = new Date('2020-01-01');
    await utimes(path, past, past);
    await generatePrepared();
    expect((await stat(path)).mtime).toEqual(past);
  });

  test('is made again when it was damaged', async () => {
    await generatePrepared();
    await truncate(await onlyFile(), 5000);
    expect(await generatePrepared()).toBe(await generate(PROMPT, { temperature: 1, topP: 0.9 }));
    const path = await onlyFile();
    // Saving is not deterministic to the byte: a file is named by what it holds.
    expect(path).toContain(sha256(await readFile(path)));
  });

  test('is done without where what is kept cannot be read', async () => {
    await generatePrepared();
    const path = await onlyFile();
    await rm(path);
    await mkdir(path);
    expect(await generatePrepared()).toBe(await generate(PROMPT, { temperature: 1, topP: 0.9 }));
  });

  test('is done without where nothing can be written', async () => {
    const blocked = { runtime, threads: 1, preparedFolder: join(model.file.path, 'not-a-folder') };
    const plain = await openSession(model.file, blocked);
    expect(await finish(begin(greedy(PROMPT), plain))).toBe(await generate(PROMPT));
    await plain.release();
  });
});

test('a file that is no model is refused', async () => {
  await expect(openSession({ path: 'package.json', sha256: '0' }, { runtime, threads: 1 })).rejects.toThrow(/protobuf|Load model/i);
});
