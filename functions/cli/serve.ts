/** `stlm serve`, which is also `npm start`. */
import { Command } from 'commander';
import type { Config } from '../config.js';
import { configOption } from './config-option.js';
import { serveConfigured, type ServeOptions } from './configuration.js';

/** @param serve runs until it is asked to stop. */
export function serveCommand(serve: (config: Config) => Promise<void>): Command {
  return new Command('serve')
    .description('Serves the models over HTTP. The settings are environment variables, or stand in a file: the README lists them.')
    .addOption(configOption())
    .option('--print-config', 'print every setting and where it came from, without passwords, and end')
    .action((options: ServeOptions) => serveConfigured(options, serve));
}
