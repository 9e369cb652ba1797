import type { z } from '@hono/zod-openapi';
import { ApiError, fromIssues } from './api-error.js';

export const MAX_BODY_BYTES = 1_048_576;

/** @throws {ApiError} 413 above `MAX_BODY_BYTES`, 400 when it is not UTF-8, not JSON, or not what the schema says. */
export async function readBody<T extends z.ZodType>(request: Request, schema: T): Promise<z.output<T>> {
  const body = schema.safeParse(await readJson(request));
  if (!body.success) throw fromIssues(body.error);
  return body.data;
}

/** Strict: hono's `c.req.json()` neither bounds the size nor refuses bytes that are not UTF-8. */
async function readJson(request: Request): Promise<unknown> {
  const bytes = await readBounded(request);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ApiError(400, 'invalid_body', 'the request body is not valid UTF-8');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, 'invalid_body', 'the request body is not valid JSON');
  }
}

async function readBounded(request: Request): Promise<Uint8Array> {
  const declared = request.headers.get('content-length');
  if (declared !== null && request.headers.get('transfer-encoding') === null) {
    // The HTTP parser holds the client to the length it declared.
    if (Number(declared) > MAX_BODY_BYTES) throw bodyTooLarge();
    return new Uint8Array(await request.arrayBuffer());
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of readable(request)) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw bodyTooLarge();
    chunks.push(chunk);
  }
  return concat(chunks, size);
}

async function* readable(request: Request): AsyncGenerator<Uint8Array> {
  const reader = request.body?.getReader();
  if (!reader) return;
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } finally {
    await reader.cancel();
  }
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

export function bodyTooLarge(): ApiError {
  return new ApiError(413, 'body_too_large', `the request body is larger than ${MAX_BODY_BYTES} bytes`);
}
