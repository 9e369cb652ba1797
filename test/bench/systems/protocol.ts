/**
 * A system under test runs in a process of its own, so that its cold load and its memory are its alone: it gets a task as JSON in its
 * first argument and answers with a measurement as JSON on its last line.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LlamaShape } from '../llama-shape.js';

/** The same amount of text for every system; a BPE token stands for this many bytes. */
export const BYTES_PER_TOKEN = 4;
export const PROMPT_BYTES = 300;

export interface Task {
  readonly threads: number;
  /** Bytes of text to decode for the throughput figure. */
  readonly decodeBytes: number;
}

export interface StlmTask extends Task {
  readonly artifacts: string;
  readonly tier: string;
  readonly preparedFolder: string;
}

export interface LlamaCppTask extends Task {
  readonly model: string;
  readonly flashAttention: boolean;
}

export interface LlamaCppColdTask {
  readonly model: string;
  readonly threads: number;
  readonly promptTokens: number;
  readonly contextTokens: number;
}

export interface TransformersTask extends Task {
  /** A folder of model folders, and the one to load. */
  readonly models: string;
  readonly name: string;
  readonly shape: LlamaShape;
}

export interface Measurement {
  /** From a model file to a model that is ready, the runtime itself already imported. */
  readonly coldLoadMs: number;
  /** From a prompt of 300 bytes to the first text, warm. */
  readonly firstByteMs: number;
  /** Of text after the first, at the end of the prompt, one stream. */
  readonly bytesPerSecond: number;
  /** Of one patch of text; a system whose tokens are not patches has none. */
  readonly patchMs?: number;
  /** Resident set of the whole process after decoding. */
  readonly residentMiB: number;
}

export interface ReadTask {
  readonly bytes: number;
  readonly threads: number;
}

export interface ReadMeasurement {
  /** To read them all once, a part in each thread. */
  readonly passMs: number;
}

/** Where the time of a decoded patch goes, in microseconds: the mean over a text, except of what single nodes take. */
export interface ProfileMeasurement {
  /** The runtime's own run. */
  readonly graphUs: number;
  /** What the session adds to it: a turn of the event loop, addresses of the inputs, copies of the outputs. */
  readonly bindingUs: number;
  /** From one run's end to the next one's begin: all that the engine does. */
  readonly betweenUs: number;
  readonly samplingUs: number;
  readonly messagesUs: number;
  /** By operator, of the time in all nodes: the profiler slows small nodes most, so these are shares rather than times. */
  readonly nodes: readonly { readonly operator: string; readonly calls: number; readonly share: number }[];
}

/** Streams of text at the same time, each of which begins another text as soon as one is over. */
export interface StreamsTask {
  readonly threads: number;
  /** How many, one measurement after the other. */
  readonly streams: readonly number[];
  readonly seconds: number;
}

export interface StlmStreamsTask extends StreamsTask {
  readonly artifacts: string;
  readonly tier: string;
  readonly preparedFolder: string;
  readonly workers: number;
}

export interface LlamaCppStreamsTask extends StreamsTask {
  readonly model: string;
  readonly flashAttention: boolean;
}

/** What so many streams yield together. */
export interface StreamsMeasurement {
  readonly bytesPerSecond: number;
  /** Of time that any of the process's threads ran: what a core gives, even on a machine that others use too. */
  readonly bytesPerCpuSecond: number;
}

export const STREAM_PROMPT_BYTES = 64;
export const STREAM_TEXT_BYTES = 512;
/** Until all streams have begun, and memory that the first runs allocate is there. */
export const STREAM_SETTLING_MS = 700;

type Stream = (index: number, over: () => boolean, piece: (bytes: number) => void) => Promise<void>;

/** Counts what streams yield within a window of time, after they have settled. A stream runs texts until `over`, and tells of each piece. */
export async function measureStreams(seconds: number, streams: number, stream: Stream): Promise<StreamsMeasurement> {
  const fromMs = performance.now() + STREAM_SETTLING_MS;
  const untilMs = fromMs + seconds * 1_000;
  let bytes = 0;
  const piece = (count: number) => {
    const nowMs = performance.now();
    if (nowMs >= fromMs && nowMs < untilMs) bytes += count;
  };
  const settled = sleep(STREAM_SETTLING_MS).then(() => process.cpuUsage());
  const used = sleep(STREAM_SETTLING_MS + seconds * 1_000).then(async () => process.cpuUsage(await settled));
  await Promise.all(Array.from({ length: streams }, (_, index) => stream(index, () => performance.now() >= untilMs, piece)));
  const { user, system } = await used;
  return { bytesPerSecond: bytes / seconds, bytesPerCpuSecond: (bytes * 1e6) / (user + system) };
}

/** Times the first text of so many prompts; the median is reported. */
export const FIRST_BYTE_PROBES = 5;

export async function answer<T>(measure: (task: T) => Promise<unknown>): Promise<void> {
  const measurement = await measure(JSON.parse(process.argv[2] ?? '{}') as T);
  console.log(JSON.stringify(measurement));
  // Native thread pools of the peers would keep the process alive.
  process.exit(0);
}

export function residentMiB(): number {
  return process.memoryUsage.rss() / 2 ** 20;
}
