import { Option } from 'commander';
import { type Config, readConfig } from '../config.js';
import { type ConfigFile, readConfigFile } from '../config-source.js';

export interface ConfigOptions {
  readonly config?: string;
}

export function configOption(): Option {
  return new Option('--config <file>', 'settings as JSON, by the names of the environment, which wins; else stlm.config.json if it is there').env('STLM_CONFIG');
}

export function configFile({ config }: ConfigOptions): ConfigFile | undefined {
  return readConfigFile(config === '' ? undefined : config);
}

/** @throws {ConfigError} */
export function configuration(options: ConfigOptions): Config {
  return readConfig(process.env, configFile(options));
}
