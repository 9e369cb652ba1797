/**
 * The automata that requests ask for.
 *
 * @module
 */
import type { ByteAutomaton } from './automaton.js';
import { anyObject } from './json.js';
import { schemaRegex } from './json-schema.js';
import { compileRegex } from './regex.js';

export type GrammarSource =
  | { readonly kind: 'regex'; readonly regex: string }
  | { readonly kind: 'json_object' }
  | { readonly kind: 'json_schema'; readonly schema: unknown };

/** Where automata come from; a deployment may compile them elsewhere. */
export interface GrammarCompiler {
  /** Rejects with a {@link GrammarError} that the client should read; with the signal's reason once that aborts, as nobody waits any more. */
  compile(source: GrammarSource, signal: AbortSignal): Promise<ByteAutomaton>;
}

/** The source as JSON. Undefined: not to be taken on. What nests so deep that it cannot be written cannot be read either. */
export function keyOf(source: GrammarSource, mostCharacters: number): string | undefined {
  try {
    const key = JSON.stringify(source);
    return key.length <= mostCharacters ? key : undefined;
  } catch {
    return undefined;
  }
}

/** How deep the values of a `json_object` may nest. */
const OBJECT_DEPTH = 2;

/** @throws {GrammarError} */
export function compileGrammar(source: GrammarSource): ByteAutomaton {
  return compileRegex(regexOf(source));
}

function regexOf(source: GrammarSource): string {
  switch (source.kind) {
    case 'regex':
      return source.regex;
    case 'json_object':
      return anyObject(OBJECT_DEPTH);
    case 'json_schema':
      return schemaRegex(source.schema);
  }
}
