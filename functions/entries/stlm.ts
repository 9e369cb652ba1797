#!/usr/bin/env node
/** The `stlm` command. */
import { Command } from 'commander';
import { benchCommand } from '../cli/bench.js';
import { chatCommand } from '../cli/chat.js';
import { completeCommand } from '../cli/complete.js';
import { keyCommand } from '../cli/key.js';
import { modelsCommand } from '../cli/models.js';
import { run } from '../cli/run.js';
import { serveCommand } from '../cli/serve.js';
import type { Config } from '../config.js';

// What runs models is loaded where models are run.
const serve = async (config: Config) => (await import('./serve.js')).serveUntilStopped(config);
const startLocal = async (config: Config) => (await import('./local.js')).startLocal(config);

const stlm = new Command('stlm')
  .description('Text from tiny byte-level models within a latency budget.')
  .addCommand(serveCommand(serve))
  .addCommand(completeCommand(startLocal))
  .addCommand(chatCommand(startLocal))
  .addCommand(modelsCommand())
  .addCommand(benchCommand())
  .addCommand(keyCommand());

await run(stlm);
