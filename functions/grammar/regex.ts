/**
 * Regular expressions in JavaScript's syntax, as automata. What no automaton can follow, looking around and back, is refused.
 *
 * @module
 */
import { DFA, JS, NFA, TooManyNodesError } from 'refa';
import type { ByteAutomaton } from './automaton.js';
import { byteAutomaton } from './build.js';
import { GrammarError, GrammarTooLargeError, NoTextError } from './errors.js';

/** Bounds the time of compiling as well: tens of milliseconds. */
const MAX_NODES = 20_000;
const MAX_STATES = 8_192;

export interface ParsedRegex {
  readonly nfa: NFA;
  /** Without anchors at its ends. */
  readonly source: string;
}

/** @throws {GrammarError} */
export function parseRegex(pattern: string): ParsedRegex {
  return refusing(() => {
    const source = unanchored(pattern);
    const { expression, maxCharacter } = JS.Parser.fromLiteral({ source, flags: 'u' }).parse({ maxNodes: MAX_NODES, assertions: 'throw', backreferences: 'throw' });
    return { nfa: NFA.fromRegex(expression, { maxCharacter }, { assertions: 'throw' }, new NFA.LimitedNodeFactory(MAX_NODES)), source };
  });
}

/**
 * The whole text has to match; `^` at the beginning and `$` at the end say the same and are allowed.
 *
 * @throws {GrammarError}
 */
export function compileRegex(pattern: string): ByteAutomaton {
  return refusing(() => {
    const dfa = DFA.fromFA(parseRegex(pattern).nfa, new DFA.LimitedNodeFactory(MAX_NODES));
    dfa.minimize();
    if (dfa.isEmpty) throw new NoTextError();
    return byteAutomaton(dfa, MAX_STATES);
  });
}

/** The libraries' own errors are about the pattern too. */
function refusing<T>(compile: () => T): T {
  try {
    return compile();
  } catch (cause) {
    if (cause instanceof GrammarError) throw cause;
    if (cause instanceof TooManyNodesError) throw new GrammarTooLargeError('it is too large', { cause });
    throw new GrammarError((cause as Error).message, { cause });
  }
}

function unanchored(pattern: string): string {
  const start = pattern.startsWith('^') ? 1 : 0;
  const escapes = /(\\*)\$$/.exec(pattern)?.[1]?.length ?? 1;
  return pattern.slice(start, escapes % 2 === 0 ? -1 : undefined);
}
