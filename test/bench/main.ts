#!/usr/bin/env node
/** `npm run bench -- decode`, `npm run bench -- batch`, `npm run bench -- prefix` and `npm run bench -- router`. */
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { benchBatch } from './batch.js';
import { benchDecode } from './decode.js';
import { benchPrefix } from './prefix.js';
import { benchRouter } from './router.js';

const program = new Command('bench').description('Measures STLM: decoding beside its peers, and the router under load.').showHelpAfterError();

program
  .command('decode')
  .description('Each tier beside llama.cpp and transformers.js with random weights at the same number of parameters.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--tiers <ids>', 'only these, separated by commas', list)
  .option('--threads <counts>', 'thread counts to try, separated by commas', counts, availableParallelism() > 1 ? [1, 2] : [1])
  .option('--repeats <count>', 'interleaved rounds, of which the median is reported', count, 5)
  .option('--bytes <count>', 'bytes of text decoded in each round', count, 1_024)
  .option('--folder <folder>', 'where the random models are written and kept', '.bench')
  .option('--json <file>', 'also write the figures to this file')
  .action(({ bytes, ...options }) => benchDecode({ decodeBytes: bytes, ...options }));

program
  .command('batch')
  .description('Streams of text at the same time, through the pool of the server, beside llama.cpp decoding as many sequences together.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--tiers <ids>', 'which, separated by commas', list, ['stlm-50m', 'stlm-100m'])
  .option('--streams <counts>', 'how many at a time, separated by commas', counts, [1, 2, 4, 8, 16])
  .option('--seconds <count>', 'for which each number of streams is counted', count, 3)
  .option('--repeats <count>', 'interleaved rounds, of which the median is reported', count, 3)
  .option('--folder <folder>', 'where the random models are written and kept', '.bench')
  .option('--json <file>', 'also write the figures to this file')
  .action(benchBatch);

program
  .command('prefix')
  .description('The time to the first byte after a prompt that was never read, and after the same again.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--bytes <count>', 'of the prompt', count, 2_048)
  .option('--repeats <count>', 'prompts, of which the median is reported', count, 7)
  .option('--folder <folder>', 'where prepared models are kept', '.bench')
  .action(benchPrefix);

program
  .command('router')
  .description('The server under a mixed open-loop load: budgets kept, tiers chosen, predictions against what happened.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--seconds <count>', 'how long the load lasts', count, 30)
  .option('--seed <number>', 'of the requests and their arrivals', Number, 1)
  .option('--load <share>', 'of the rate at which the server is saturated', Number, 0.7)
  .option('--folder <folder>', 'where prepared models are kept', '.bench')
  .option('--json <file>', 'also write the figures to this file')
  .option('--svg <file>', 'also draw every request into this file')
  .action(benchRouter);

await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

function list(text: string): string[] {
  return text.split(',').map((item) => item.trim());
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number above 0');
  return value;
}

function counts(text: string): number[] {
  return list(text).map(count);
}
