/** Streams through the pool of the server, spread over its workers. Nobody asks for a seed or sets a deadline: all may share runs. */
import { WorkerPool } from '../../../functions/engine/pool.js';
import { ModelFileCache } from '../../../functions/registry/fetch.js';
import { FolderStore } from '../../../functions/registry/folder-store.js';
import { Registry } from '../../../functions/registry/registry.js';
import { englishText } from '../../load/english.js';
import { answer, measureStreams, STREAM_PROMPT_BYTES, STREAM_TEXT_BYTES, type StlmStreamsTask, type StreamsMeasurement } from './protocol.js';

/** So that no two texts begin alike, as no two clients do. */
const STRIDE = 89;
const LIBRARY = englishText(1 << 14);

async function measure({ artifacts, tier, preparedFolder, workers, threads, streams, seconds }: StlmStreamsTask): Promise<StreamsMeasurement[]> {
  const registry = await Registry.open(new FolderStore(artifacts), new ModelFileCache(preparedFolder));
  const pool = new WorkerPool({
    registry,
    workerUrl: new URL('../../../functions/engine/worker.js', import.meta.url),
    workers,
    threads,
    preparedFolder,
  });
  for (let worker = 0; worker < workers; worker += 1) await pool.load({ tier, worker });

  let texts = 0;
  const stream = async (index: number, over: () => boolean, piece: (bytes: number) => void) => {
    const abort = new AbortController();
    while (!over()) {
      texts += 1;
      const start = (texts * STRIDE) % (LIBRARY.length - STREAM_PROMPT_BYTES);
      const prompt = new TextEncoder().encode(LIBRARY.slice(start, start + STREAM_PROMPT_BYTES));
      const sampling = { seed: undefined, temperature: 0.8, topP: 1, topK: 0, stop: [], logitBias: new Map<number, number>(), cacheSalt: '' };
      const options = { prompt, maxBytes: STREAM_TEXT_BYTES, ...sampling, deadlineAtMs: Infinity };
      for await (const { bytes } of pool.generate({ tier, worker: index % workers }, options, abort.signal)) {
        piece(bytes.length);
        if (over()) abort.abort();
      }
    }
  };
  const measurements: StreamsMeasurement[] = [];
  for (const count of streams) measurements.push(await measureStreams(seconds, count, stream));
  await pool.close();
  return measurements;
}

await answer(measure);
