/** The configuration of the environment and the file that a command names. */
import { type Config, describeConfig, readConfig, unknownVariables } from '../config.js';
import { readConfigFile } from '../config-source.js';

export interface ConfigOptions {
  /** `STLM_CONFIG` if absent. */
  readonly config?: string;
}

export interface ServeOptions extends ConfigOptions {
  readonly printConfig?: true;
}

/** @throws {ConfigError} */
export function configuration(options: ConfigOptions): Config {
  return readConfig(process.env, fileOf(options));
}

/** @param serve runs until it is asked to stop. @throws {ConfigError} */
export async function serveConfigured({ printConfig, ...options }: ServeOptions, serve: (config: Config) => Promise<void>): Promise<void> {
  const file = fileOf(options);
  const config = readConfig(process.env, file);
  for (const name of unknownVariables(process.env)) console.error(`stlm: there is no setting ${name}; it is ignored`);
  if (printConfig) process.stdout.write(describeConfig(process.env, file));
  else await serve(config);
}

function fileOf({ config = process.env['STLM_CONFIG'] }: ConfigOptions) {
  return readConfigFile(config === '' ? undefined : config);
}
