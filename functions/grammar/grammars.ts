/**
 * The automata that requests ask for.
 *
 * @module
 */
import { LRUCache } from 'lru-cache';
import { type ByteAutomaton, sizeInBytes } from './automaton.js';
import { anyObject } from './json.js';
import { schemaRegex } from './json-schema.js';
import { compileRegex } from './regex.js';

export type GrammarSource =
  | { readonly kind: 'regex'; readonly regex: string }
  | { readonly kind: 'json_object' }
  | { readonly kind: 'json_schema'; readonly schema: unknown };

/** Where automata come from; a deployment may compile them elsewhere. */
export interface GrammarCompiler {
  /** Rejects with a {@link GrammarError} that the client should read. */
  compile(source: GrammarSource): Promise<ByteAutomaton>;
}

const CACHE_BYTES = 64 * 2 ** 20;
/** How deep the values of a `json_object` may nest. */
const OBJECT_DEPTH = 2;

/** @throws {GrammarError} */
export function compileGrammar(source: GrammarSource): ByteAutomaton {
  return compileRegex(regexOf(source));
}

/** Those compiled last, by their sources. */
export function automatonCache(mostBytes = CACHE_BYTES): LRUCache<string, ByteAutomaton> {
  return new LRUCache({ maxSize: mostBytes, sizeCalculation: (automaton, source) => sizeInBytes(automaton) + 2 * source.length });
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
