/** transformers.js on onnxruntime-node, without a tokenizer: token ids in, token ids out, greedy, each counted as it comes. */
import { AutoModelForCausalLM, BaseStreamer, env, Tensor, type TextStreamer } from '@huggingface/transformers';
import { median } from '../statistics.js';
import { answer, BYTES_PER_TOKEN, FIRST_BYTE_PROBES, type Measurement, PROMPT_BYTES, residentMiB, type TransformersTask } from './protocol.js';

const PROMPT_TOKENS = PROMPT_BYTES / BYTES_PER_TOKEN;

/** Notes when each token comes; the prompt comes first, in one piece. */
class Clock extends BaseStreamer {
  readonly atMs: number[] = [];

  override put(): void {
    this.atMs.push(performance.now());
  }

  override end(): void {}
}

async function measure({ models, name, shape, threads, decodeBytes }: TransformersTask): Promise<Measurement> {
  env.localModelPath = models;
  env.allowRemoteModels = false;
  const beginMs = performance.now();
  const model = await AutoModelForCausalLM.from_pretrained(name, {
    dtype: 'q4',
    device: 'cpu',
    local_files_only: true,
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  });
  const coldLoadMs = performance.now() - beginMs;

  const ids = BigInt64Array.from({ length: PROMPT_TOKENS }, (_, index) => BigInt((index * 7) % shape.vocabulary));
  const run = async (tokens: number) => {
    const streamer = new Clock();
    const startMs = performance.now();
    const dims = [1, PROMPT_TOKENS];
    await model.generate({
      inputs: new Tensor('int64', ids, dims),
      attention_mask: new Tensor('int64', new BigInt64Array(PROMPT_TOKENS).fill(1n), dims),
      max_new_tokens: tokens,
      do_sample: false,
      // Declared as a streamer of text, though any streamer is taken.
      streamer: streamer as unknown as TextStreamer,
    } as { [name: string]: unknown });
    const [, first = Number.NaN, ...rest] = streamer.atMs;
    return { firstByteMs: first - startMs, tokens: rest.length, decodingMs: (rest.at(-1) ?? first) - first };
  };

  await run(16);
  const firstByteMs = [];
  for (let probe = 0; probe < FIRST_BYTE_PROBES; probe += 1) firstByteMs.push((await run(1)).firstByteMs);
  const { tokens, decodingMs } = await run(Math.ceil(decodeBytes / BYTES_PER_TOKEN) + 1);
  return {
    coldLoadMs,
    firstByteMs: median(firstByteMs),
    bytesPerSecond: ((tokens * BYTES_PER_TOKEN) / decodingMs) * 1_000,
    residentMiB: residentMiB(),
  };
}

await answer(measure);
