/** `stlm serve`, which is also `npm start`. */
import { Command } from 'commander';
import { type Config, describeConfig, readConfig, unknownVariables } from '../config.js';
import { type ConfigOptions, configFile, configOption } from './configuration.js';

/** @param serve runs until it is asked to stop. */
export function serveCommand(serve: (config: Config) => Promise<void>): Command {
  return new Command('serve')
    .description('Serves the models over HTTP. The settings are environment variables, or stand in a file: the README lists them.')
    .addOption(configOption())
    .option('--print-config', 'print every setting and where it came from, without passwords, and end')
    .action(async ({ printConfig, ...options }: ConfigOptions & { printConfig?: true }) => {
      const file = configFile(options);
      const config = readConfig(process.env, file);
      for (const name of unknownVariables(process.env)) console.error(`stlm: there is no setting ${name}; it is ignored`);
      if (printConfig) process.stdout.write(describeConfig(process.env, file));
      else await serve(config);
    });
}
