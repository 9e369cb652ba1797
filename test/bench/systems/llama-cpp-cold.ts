/** llama.cpp through node-llama-cpp from nothing to its first token: no server around it. Says when the token is there. */
import { getLlama, LlamaLogLevel, type Token } from 'node-llama-cpp';
import { answer, type LlamaCppColdTask } from './protocol.js';

await answer(async ({ model: modelPath, threads, promptTokens, contextTokens }: LlamaCppColdTask) => {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ contextSize: contextTokens, threads: { ideal: threads, min: threads }, flashAttention: true });
  const prompt = Array.from({ length: promptTokens }, (_, index) => (259 + index) as Token);
  for await (const _ of context.getSequence().evaluate(prompt, { temperature: 0, yieldEogToken: true })) break;
  return 'first token';
});
