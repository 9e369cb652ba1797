#!/usr/bin/env node
/** `npm run bench -- decode`, `-- batch`, `-- prefix`, `-- router`, `-- trace`, `-- replay`, `-- memory` and `-- edge`. */
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { SCENARIOS } from '../load/scenarios.js';
import { benchBatch } from './batch.js';
import { benchCold } from './cold.js';
import { benchDecode } from './decode.js';
import { benchEdge } from './edge.js';
import { benchFleet } from './fleet.js';
import { benchMemory } from './memory.js';
import { benchPrefix } from './prefix.js';
import { benchReplay } from './replay.js';
import { benchRouter, benchTrace } from './router.js';

const program = new Command('bench').description('Measures STLM: decoding beside its peers, and the router under load.').showHelpAfterError();

program
  .command('decode')
  .description('Each tier beside llama.cpp and transformers.js with random weights at the same number of parameters.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--tiers <ids>', 'only these, separated by commas', list)
  .option('--threads <counts>', 'thread counts to try, separated by commas', counts, availableParallelism() > 1 ? [1, 2] : [1])
  .option('--repeats <count>', 'interleaved rounds, of which the median is reported', count, 5)
  .option('--bytes <count>', 'bytes of text decoded in each round', count, 1_024)
  .option('--profile', 'also say where the time of a patch goes', false)
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
  .command('edge')
  .description('The Worker in workerd: what its isolate takes to start, of memory, and for a text; and what is uploaded.')
  .option('--bytes <count>', 'of each text', count, 512)
  .option('--repeats <count>', 'texts, of which the median is reported', count, 9)
  .action(benchEdge);

program
  .command('prefix')
  .description('The time to the first byte after a prompt that was never read, and after the same again.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--bytes <count>', 'of the prompt', count, 2_048)
  .option('--repeats <count>', 'prompts, of which the median is reported', count, 7)
  .option('--folder <folder>', 'where prepared models are kept', '.bench')
  .action(benchPrefix);

program
  .command('cold')
  .description('From the start of a process to the first byte of text: each tier, with its model prepared before and not, beside llama.cpp.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--tiers <ids>', 'only these, separated by commas', list)
  .option('--repeats <count>', 'interleaved rounds, of which the median is reported', count, 7)
  .option('--node <path>', 'the Node to start', process.execPath)
  .option('--folder <folder>', 'where the random models are written and kept', '.bench')
  .option('--json <file>', 'also write the figures to this file')
  .action(benchCold);

program
  .command('fleet')
  .description('Several servers behind HAProxy, under a load they can bear and one they cannot, and a model of larger fleets.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--replicas <counts>', 'how many, separated by commas', counts, [1, 2, 4])
  .option('--seconds <count>', 'how long each load lasts', count, 10)
  .option('--seed <number>', 'of the requests and their arrivals', Number, 1)
  .option('--folder <folder>', 'where prepared models are kept', '.bench')
  .option('--json <file>', 'also write the figures, and what each tier takes, to this file')
  .option('--times <file>', 'run the model alone, fed from the --json of an earlier run')
  .option('--usd-per-vcpu-hour <price>', 'assumed, for the model', Number, 0.04)
  .option('--start-ms <count>', 'assumed, for the model: from the wish for a replica to its first request', count, 2_000)
  .option('--store-gbits <count>', 'assumed, for the model: what the store of models hands out in all, in Gbit/s', Number, 10)
  .option('--model-replicas <count>', 'the largest fleet of the model', count, 10_000)
  .option('--svg <file>', 'also draw the model into this file')
  .action(benchFleet);

program
  .command('router')
  .description('The server under an open-loop load: budgets kept, tiers chosen beside what oracles could, predictions against what happened.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .addOption(scenarioOption())
  .option('--trace <file>', 'replay this load instead of a scenario; see `bench trace`')
  .option('--seconds <count>', 'how long the load lasts', count, 45)
  .option('--seed <number>', 'of the requests and their arrivals', Number, 1)
  .option('--load <share>', 'of the saturating rate, instead of the scenario\'s own', Number)
  .option('--policy <name>', 'the server\'s STLM_POLICY', 'budget-first')
  .option('--folder <folder>', 'where prepared models are kept', '.bench')
  .option('--decision-log <file>', 'keep the server\'s decision log there, for `bench replay`')
  .option('--json <file>', 'also write the figures to this file')
  .option('--svg <file>', 'also draw every request of the last load into this file')
  .action(benchRouter);

program
  .command('memory')
  .description('What workers, loaded tiers and long texts add to the memory of a process. Run it twice: the first run prepares the models.')
  .option('--artifacts <folder>', 'where the tiers are', 'model-core/artifacts')
  .option('--folder <folder>', 'where prepared models are kept', '.bench')
  .action(benchMemory);

program
  .command('trace')
  .description('Writes a load for `bench router --trace`.')
  .requiredOption('--out <file>', 'the file')
  .requiredOption('--saturation <rate>', 'requests per second that are a load of 1', Number)
  .addOption(scenarioOption())
  .option('--seconds <count>', 'how long the load lasts', count, 45)
  .option('--seed <number>', 'of the requests and their arrivals', Number, 1)
  .option('--load <share>', 'of the saturating rate, instead of the scenario\'s own', Number)
  .action(benchTrace);

program
  .command('replay <log>')
  .description('A decision log (STLM_DECISION_LOG) asked again under another policy: tiers, what is predicted in budget, and cost.')
  .requiredOption('--policy <name>', 'as STLM_POLICY')
  .action(benchReplay);

await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

function scenarioOption(): Option {
  return new Option('--scenario <name>', 'what the load is like').choices(Object.keys(SCENARIOS)).default('steady');
}

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
