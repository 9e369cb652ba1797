/**
 * A load as data: what arrives when, the same for the same seed. Prompts of 20 bytes to 8 kB, texts of 8 to 256 bytes, budgets of 30 ms
 * to 5 s, each spread evenly over its orders of magnitude, so that tight and wide requests are equally common. A file of it has the
 * trace's own line first, then a line a request.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { englishText } from './english.js';
import { seededRandom } from './seeded.js';

const traceRequestSchema = z.object({
  /** From the start of the load. */
  atMs: z.number().nonnegative(),
  promptBytes: z.int().positive(),
  maxTokens: z.int().positive(),
  budgetMs: z.number().positive(),
  stream: z.boolean(),
  /** A request that must be reproducible may not share a batch with others: none, unless a trace asks for it. */
  seed: z.int().nonnegative().optional(),
});

const headSchema = z.object({
  scenario: z.string(),
  seed: z.int(),
  durationMs: z.number().positive(),
  /** A neighbour burns a core meanwhile. */
  noise: z.array(z.object({ fromMs: z.number(), untilMs: z.number() })),
});

export type TraceRequest = z.infer<typeof traceRequestSchema>;
export type Trace = z.infer<typeof headSchema> & { readonly requests: readonly TraceRequest[] };

const PROMPT_BYTES = [20, 8_000] as const;
const TEXT_BYTES = [8, 256] as const;
const BUDGET_MS = [30, 5_000] as const;
const STREAMED = 0.5;

export function mixedRequests(arrivalsMs: readonly number[], seed: number): TraceRequest[] {
  const random = seededRandom(seed);
  return arrivalsMs.map((atMs) => mixedRequest(atMs, random));
}

export function mixedRequest(atMs: number, random: () => number): TraceRequest {
  return {
    atMs,
    promptBytes: Math.round(evenlyOverMagnitudes(PROMPT_BYTES, random)),
    maxTokens: Math.round(evenlyOverMagnitudes(TEXT_BYTES, random)),
    budgetMs: Math.round(evenlyOverMagnitudes(BUDGET_MS, random)),
    stream: random() < STREAMED,
  };
}

function evenlyOverMagnitudes([least, most]: readonly [number, number], random: () => number): number {
  return least * (most / least) ** random();
}

/** No two begin alike, so that none finds another's prefix computed. */
export function promptOf(index: number, { promptBytes }: Pick<TraceRequest, 'promptBytes'>): string {
  return `${index} ${englishText(promptBytes)}`.slice(0, promptBytes);
}

export async function writeTrace(path: string, { requests, ...head }: Trace): Promise<void> {
  await writeFile(path, [head, ...requests].map((line) => `${JSON.stringify(line)}\n`).join(''));
}

/** @throws {z.ZodError} for a file that is no trace. */
export async function readTrace(path: string): Promise<Trace> {
  const [head, ...requests] = (await readFile(path, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as unknown);
  return { ...headSchema.parse(head), requests: requests.map((request) => traceRequestSchema.parse(request)) };
}
