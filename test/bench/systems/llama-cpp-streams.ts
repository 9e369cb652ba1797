/** llama.cpp through node-llama-cpp: a sequence for each stream in one context, which evaluates them together. */
import { getLlama, LlamaLogLevel, type Token } from 'node-llama-cpp';
import {
  answer,
  BYTES_PER_TOKEN,
  type LlamaCppStreamsTask,
  measureStreams,
  STREAM_PROMPT_BYTES,
  STREAM_TEXT_BYTES,
  type StreamsMeasurement,
} from './protocol.js';

const PROMPT_TOKENS = STREAM_PROMPT_BYTES / BYTES_PER_TOKEN;
const TEXT_TOKENS = STREAM_TEXT_BYTES / BYTES_PER_TOKEN;
/** Specials and byte tokens of the vocabulary, which no prompt of words has. */
const FIRST_PIECE = 259;

async function measure({ model: modelPath, threads, flashAttention, streams, seconds }: LlamaCppStreamsTask): Promise<StreamsMeasurement[]> {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath });
  const measurements: StreamsMeasurement[] = [];
  for (const count of streams) {
    const contextSize = PROMPT_TOKENS + TEXT_TOKENS + 8;
    const context = await model.createContext({ contextSize, sequences: count, batchSize: 512, threads: { ideal: threads, min: threads }, flashAttention });
    const sequences = Array.from({ length: count }, () => context.getSequence());
    let texts = 0;
    const stream = async (index: number, over: () => boolean, piece: (bytes: number) => void) => {
      const sequence = sequences[index]!;
      while (!over()) {
        texts += 1;
        const first = texts * 13;
        const prompt = Array.from({ length: PROMPT_TOKENS }, (_, at) => (FIRST_PIECE + ((first + at * 7) % 200)) as Token);
        await sequence.clearHistory();
        let tokens = 0;
        for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
          piece(BYTES_PER_TOKEN);
          tokens += 1;
          if (tokens === TEXT_TOKENS || over()) break;
        }
      }
    };
    measurements.push(await measureStreams(seconds, count, stream));
    await context.dispose();
  }
  return measurements;
}

await answer(measure);
