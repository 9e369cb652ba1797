/** llama.cpp through node-llama-cpp, at its lowest level of overhead: token ids in, token ids out, greedy. */
import { getLlama, LlamaLogLevel, type Token } from 'node-llama-cpp';
import { median } from '../statistics.js';
import { answer, BYTES_PER_TOKEN, FIRST_BYTE_PROBES, type LlamaCppTask, type Measurement, PROMPT_BYTES, residentMiB } from './protocol.js';

const PROMPT_TOKENS = PROMPT_BYTES / BYTES_PER_TOKEN;
/** Specials and byte tokens of the vocabulary, which no prompt of words has. */
const FIRST_PIECE = 259;

async function measure({ model: modelPath, threads, flashAttention, decodeBytes }: LlamaCppTask): Promise<Measurement> {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads, logLevel: LlamaLogLevel.error });
  const beginMs = performance.now();
  const model = await llama.loadModel({ modelPath });
  const decodeTokens = Math.ceil(decodeBytes / BYTES_PER_TOKEN);
  const context = await model.createContext({ contextSize: PROMPT_TOKENS + decodeTokens + 8, batchSize: 512, threads: { ideal: threads, min: threads }, flashAttention });
  const sequence = context.getSequence();
  const coldLoadMs = performance.now() - beginMs;

  const prompt = Array.from({ length: PROMPT_TOKENS }, (_, index) => (FIRST_PIECE + ((index * 7) % 200)) as Token);
  const run = async (tokens: number) => {
    await sequence.clearHistory();
    const beginMs = performance.now();
    let firstByteMs = 0;
    let count = 0;
    for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
      count += 1;
      if (count === 1) firstByteMs = performance.now() - beginMs;
      if (count === tokens) break;
    }
    return { firstByteMs, tokens: count, decodingMs: performance.now() - beginMs - firstByteMs };
  };

  await run(16);
  const firstByteMs = [];
  for (let probe = 0; probe < FIRST_BYTE_PROBES; probe += 1) firstByteMs.push((await run(1)).firstByteMs);
  const { tokens, decodingMs } = await run(decodeTokens + 1);
  return {
    coldLoadMs,
    firstByteMs: median(firstByteMs),
    bytesPerSecond: (((tokens - 1) * BYTES_PER_TOKEN) / decodingMs) * 1_000,
    residentMiB: residentMiB(),
  };
}

await answer(measure);
