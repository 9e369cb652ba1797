/** A text's tokens, which are its bytes, with how probable each was: in the shapes of the OpenAI API. */
import { SPECIAL } from '../engine/patch.js';
import type { ChatLogprobs, CompletionLogprobs } from '../schema/logprobs.js';

export interface Likely {
  /** A byte, or a mark. */
  readonly id: number;
  readonly logprob: number;
}

export interface Token {
  readonly id: number;
  /** Null where nothing is before it. */
  readonly logprob: number | null;
  /** Likeliest first. */
  readonly top: readonly Likely[];
  /** In the text of its choice, in Unicode characters. */
  readonly textOffset: number;
}

const BYTES = 256;
const MARKS = new Map(Object.entries(SPECIAL).map(([name, id]) => [id, `<|${name}|>`]));

export function completionLogprobs(tokens: readonly Token[]): CompletionLogprobs {
  return {
    tokens: tokens.map(({ id }) => tokenText(id)),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ id, logprob, top }) => (logprob === null ? null : Object.fromEntries([...top, { id, logprob }].map((one) => [tokenText(one.id), one.logprob])))),
    text_offset: tokens.map(({ textOffset }) => textOffset),
    bytes: tokens.map(({ id }) => (id < BYTES ? id : null)),
  };
}

/** Without the mark that ends a reply, which is no part of it. */
export function chatLogprobs(tokens: readonly Token[]): ChatLogprobs {
  const content = tokens.flatMap(({ id, logprob, top }) => {
    if (id >= BYTES || logprob === null) return [];
    return { token: tokenText(id), logprob, bytes: bytesOf(id), top_logprobs: top.map(chatToken) };
  });
  return { content, refusal: null };
}

function chatToken({ id, logprob }: Likely) {
  return { token: tokenText(id), logprob, bytes: bytesOf(id) };
}

function bytesOf(id: number): number[] | null {
  return id < BYTES ? [id] : null;
}

/** A byte that is no character by itself is written as the OpenAI API writes such tokens. */
function tokenText(id: number): string {
  if (id < 0x80) return String.fromCharCode(id);
  return id < BYTES ? `bytes:\\x${id.toString(16)}` : (MARKS.get(id) ?? `<|${id}|>`);
}
