/**
 * The artifact's contract: everything a tier's folder says about itself. Python writes it, TypeScript reads it; this is its source.
 * @module
 */
import { z } from 'zod';

export const tierId = z.string().regex(/^stlm-[a-z0-9]{1,16}$/, 'a tier id looks like stlm-10m');

/** A bare file name: no separators, no parent folder, so that no manifest can point outside its own folder. */
const modelFileName = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,80}\.onnx$/, 'a model file is a bare name ending in .onnx');

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'a sha256 is 64 lower-case hex digits');
const count = z.int().nonnegative();
const positive = z.int().positive();
const milliseconds = z.number().nonnegative();

export const precision = z.enum(['fp32', 'int4', 'uint8']);

const modelFile = z.object({ name: modelFileName, precision, bytes: positive, sha256: sha256Hex });

const tensor = z.object({
  name: z.string().min(1),
  type: z.enum(['int32', 'int64', 'float32']),
  /** A number is fixed; a string names a free dimension, as `B` or `S+1`. */
  shape: z.array(z.union([positive, z.string().min(1)])),
});

/** A figure of one task with its 95 % interval; `chance` is what guessing scores. `of` stands where `items` are a sample of more. */
const taskFigure = z.object({
  task: z.string().min(1),
  metric: z.string().min(1),
  value: z.number(),
  low: z.number(),
  high: z.number(),
  items: positive,
  of: positive.optional(),
  chance: z.number().optional(),
});

/** Measured from the exported file, so that the tables speak of what is served. */
const evaluation = z.object({
  /** What measured `bitsPerByte`, and when. */
  command: z.string(),
  date: z.string(),
  bitsPerByte: z.array(z.object({ domain: z.string(), bytes: positive, bitsPerByte: z.number().positive() })),
  mean: z.number().positive(),
  /** Absent where only held-out text was scored. */
  tasks: z.array(taskFigure).optional(),
  /** What measured `tasks`, a line a run; `tasksDate` is the last one's. Absent in older manifests: `command` and `date` then. */
  tasksCommand: z.string().optional(),
  tasksDate: z.string().optional(),
});

const training = z.object({
  bytesSeen: count,
  commit: z.string(),
  seed: z.int(),
  sources: z.array(z.object({ name: z.string(), licence: z.string() })),
});

const special = z.int().min(256).max(271);

/**
 * A turn is the id of its role, the UTF-8 bytes of its text, `endOfTurn`. A chat is `bod` and its turns, the system's first;
 * the model is asked for a reply by `roles.assistant` at the end and closes it with `endOfTurn`.
 */
const chat = z.object({ roles: z.object({ system: special, user: special, assistant: special }), endOfTurn: special });

export const manifestSchema = z
  .object({
    schemaVersion: z.literal(1),
    id: tierId,
    /** `unique` counts stored weights, `effective` counts a shared weight each time it is applied. */
    parameters: z.object({ unique: positive, effective: positive, embedding: count }),
    patch: z.object({ ruleHash: sha256Hex, cap: z.int().min(1).max(64) }),
    vocabulary: z.literal(272),
    context: z.object({ patches: positive }),
    trunk: z.object({ layers: positive, width: positive, kvHeads: positive, headDim: positive }),
    bytesPerPatch: z.number().positive(),
    files: z.array(modelFile).min(1),
    defaultPrecision: precision,
    graph: z.object({ inputs: z.array(tensor).min(1), outputs: z.array(tensor).min(1) }),
    /** Absent until `python -m stlm evaluate --write` has scored the exported file. */
    evaluation: evaluation.optional(),
    training,
    /** Present if the tier was tuned to chat. */
    chat: chat.optional(),
    /** It was trained to write what is missing between a prefix and a suffix (`model-core/stlm/infill.py`); false if absent. */
    infill: z.boolean().optional(),
    /** The greedy continuation of `prompt` by the default precision: what a healthy load must reproduce. */
    golden: z.object({ prompt: z.string(), ids: z.array(z.int().min(0).max(271)).min(1) }),
    /** The predictor's first guess, before the machine at hand has been calibrated. */
    latencySeed: z.object({
      machine: z.string(),
      threads: positive,
      loadMs: milliseconds,
      prefillPatchMs: milliseconds,
      decodePatchMs: milliseconds,
    }),
  })
  .refine((manifest) => manifest.files.some((file) => file.precision === manifest.defaultPrecision), {
    path: ['defaultPrecision'],
    message: 'no file has the default precision',
  });

export type Manifest = z.infer<typeof manifestSchema>;
export type ChatTemplate = z.infer<typeof chat>;
export type Precision = z.infer<typeof precision>;
