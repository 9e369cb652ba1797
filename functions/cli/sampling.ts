/** What every command that asks for text may say about it. */
import { type Command, InvalidArgumentError } from 'commander';

export interface SamplingOptions {
  readonly budget?: number;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed?: number;
  readonly stop?: string[];
  readonly regex?: string;
}

export function withSamplingOptions(command: Command): Command {
  return command
    .option('--budget <time>', 'latency budget, as 80ms or 1.5s; else the server\'s default', milliseconds)
    .option('--max-tokens <count>', 'bytes of text at most', number)
    .option('--temperature <number>', '0 to 2; 0 takes the likeliest', number)
    .option('--top-p <share>', 'from the likeliest bytes that together have this share', number)
    .option('--top-k <count>', 'from so many of the likeliest bytes', number)
    .option('--seed <number>', 'the same text again', number)
    .option('--stop <text>', 'end before this; up to four times', (text: string, before: string[] = []) => [...before, text])
    .option('--regex <expression>', 'the whole text will match it');
}

/** In the fields of the API, which says what is wrong with them. */
export function requestFields({ budget, maxTokens, temperature, topP, topK, seed, stop, regex }: SamplingOptions, model: string) {
  return {
    model,
    ...(budget !== undefined && { budgetMs: budget }),
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
    ...(seed !== undefined && { seed }),
    ...(stop !== undefined && { stop }),
    ...(regex !== undefined && { regex }),
  };
}

function milliseconds(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s)?$/.exec(text) ?? [];
  if (digits === undefined || Number(digits) === 0) throw new InvalidArgumentError('expected a time such as 80ms or 1.5s');
  return Number(digits) * (unit === 's' ? 1_000 : 1);
}

function number(text: string): number {
  if (text.trim() === '' || !Number.isFinite(Number(text))) throw new InvalidArgumentError('expected a number');
  return Number(text);
}
