/**
 * The decision log: JSON lines that say what the router knew when it decided, and what came of it. Enough to ask another policy the
 * same question later; no prompt and no text.
 *
 * @module
 */
import { z } from 'zod';

const ms = z.number();
const reach = z.enum(['fits', 'truncates', 'late']);

/** One tier on one worker, as it looked at that moment. */
const loggedCandidate = z.object({
  tier: z.string(),
  worker: z.int(),
  available: z.boolean(),
  warm: z.boolean(),
  reach: z.object({ now: reach, warm: reach, idle: reach }),
  crowds: z.boolean(),
  affordable: z.boolean(),
  /** What the work would begin after, expected. */
  waitMs: ms,
  loadMs: ms,
  prefillMs: ms,
  decodeMs: ms,
  /** Arrival to last byte, expected and at the p95. */
  expectedMs: ms,
  predictedMs: ms,
  /** Compute of all its generations, expected. */
  workMs: ms,
  backlogMs: ms,
});

export const decisionRecordSchema = z.object({
  event: z.literal('decision'),
  /** Epoch milliseconds. */
  atMs: ms,
  id: z.string(),
  /** Names the admission in its outcome; null for a refusal. */
  ticket: z.int().nullable(),
  policy: z.string(),
  request: z.object({
    /** `auto`, or the tier the request named. */
    tier: z.string(),
    arrivalMs: ms,
    budgetMs: ms,
    firstByteBudgetMs: ms.optional(),
    promptBytes: z.int(),
    promptPatches: z.record(z.string(), z.int()),
    scoredPatches: z.int().optional(),
    maxBytes: z.int(),
    maxWords: z.int().optional(),
    endsWithContext: z.boolean().optional(),
    lengthClass: z.enum(['plain', 'stop', 'chat', 'guided', 'infill']),
    generations: z.int(),
    sharesRuns: z.boolean(),
  }),
  workers: z.array(z.object({ bookings: z.int(), backlogMs: ms })),
  /** What the load leaves for quality; see `headroom.ts`. */
  allowedMs: ms,
  /** Ascending by size, each tier on every worker. */
  tiers: z.array(z.tuple([loggedCandidate], loggedCandidate)),
  outcome: z.enum(['admitted', 'infeasible', 'overloaded', 'loading', 'unavailable']),
  chosen: z.object({ tier: z.string(), worker: z.int(), reason: z.string() }).nullable(),
});

/** How one generation of an admitted request ended. */
export const outcomeRecordSchema = z.object({
  event: z.literal('outcome'),
  atMs: ms,
  id: z.string(),
  ticket: z.int(),
  tier: z.string(),
  worker: z.int(),
  actualMs: ms,
  /** Mean number of other workers that computed meanwhile. */
  othersBusy: z.number(),
  /** Null where the engine failed, or the client left. */
  result: z
    .object({
      stopCause: z.enum(['eod', 'stop', 'length', 'context', 'deadline', 'cancelled']),
      promptPatches: z.int(),
      completionBytes: z.int(),
      decodedPatches: z.number(),
      timings: z.object({ queueMs: ms, loadMs: ms, prefillMs: ms, decodeMs: ms, firstByteMs: ms }),
    })
    .nullable(),
});

export const recordSchema = z.discriminatedUnion('event', [decisionRecordSchema, outcomeRecordSchema]);

export type DecisionRecord = z.infer<typeof decisionRecordSchema>;
export type OutcomeRecord = z.infer<typeof outcomeRecordSchema>;
export type LogRecord = z.infer<typeof recordSchema>;
