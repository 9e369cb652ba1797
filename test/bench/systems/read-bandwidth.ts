/**
 * How long this machine needs just to read as many bytes as a model's weights have: memcmp (`Buffer.compare`) over two halves that are
 * equal, so that it reads both to the end; a part in each thread, again and again, as decoding reads the same weights again and again.
 */
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { answer, type ReadMeasurement, type ReadTask } from './protocol.js';

const MEASURED_MS = 400;

async function measure({ bytes, threads }: ReadTask): Promise<ReadMeasurement> {
  // All at once: they share the memory's bandwidth.
  const readers = Array.from({ length: threads }, () => new Worker(new URL(import.meta.url), { workerData: Math.floor(bytes / threads) }));
  const passesMs = await Promise.all(readers.map((reader) => new Promise<number>((resolve) => reader.once('message', resolve))));
  return { passMs: Math.max(...passesMs) };
}

/** Ms a pass. */
function readAgainAndAgain(bytes: number): number {
  // Written, since pages that never were are all one page of zeros.
  const [left, right] = [Buffer.alloc(bytes >> 1, 1), Buffer.alloc(bytes >> 1, 1)];
  const beginMs = performance.now();
  let passes = 0;
  let nowMs = beginMs;
  for (; nowMs < beginMs + MEASURED_MS; nowMs = performance.now()) {
    if (left.compare(right) !== 0) throw new Error('two halves that were written alike differ');
    passes += 1;
  }
  return (nowMs - beginMs) / passes;
}

if (parentPort === null) {
  await answer(measure);
} else {
  const port = parentPort;
  port.postMessage(readAgainAndAgain(workerData as number));
}
