/** The form that a request wants its text in, as the automaton that keeps it there. */
import type { ByteAutomaton } from '../grammar/automaton.js';
import { shortest } from '../grammar/automaton.js';
import { GrammarError } from '../grammar/errors.js';
import type { GrammarCompiler, GrammarSource } from '../grammar/grammars.js';
import { maxBytesOf, type TextRequest } from '../schema/request.js';
import { invalidField } from './api-error.js';

/** @throws {ApiError} 400 for a form that cannot be followed, or not in the text's length */
export async function grammarOf(body: TextRequest, grammars: GrammarCompiler, signal: AbortSignal): Promise<ByteAutomaton | undefined> {
  const wanted = wantedForm(body);
  if (wanted === undefined) return undefined;
  const { field, source } = wanted;
  const automaton = await grammars.compile(source, signal).catch((error: unknown) => {
    throw error instanceof GrammarError ? invalidField(field, error.message) : error;
  });
  const leastBytes = shortest(automaton);
  if (leastBytes > maxBytesOf(body)) throw invalidField('max_tokens', `the shortest text of that form has ${leastBytes} bytes`);
  return automaton;
}

function wantedForm({ regex, response_format: format }: TextRequest): { field: string; source: GrammarSource } | undefined {
  const isFormat = format !== undefined && format !== null && format.type !== 'text';
  if (typeof regex === 'string') {
    if (isFormat) throw invalidField('regex', 'not together with a response_format');
    return { field: 'regex', source: { kind: 'regex', regex } };
  }
  if (!isFormat) return undefined;
  const source: GrammarSource = format.type === 'json_object' ? { kind: 'json_object' } : { kind: 'json_schema', schema: format.json_schema.schema };
  return { field: 'response_format', source };
}
