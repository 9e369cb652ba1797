/**
 * Where settings come from: the environment, and one file of the same names. The environment wins.
 *
 * @module
 */
import { readFileSync } from 'node:fs';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A setting as text, and what gave it: `environment`, or the file's path. */
export interface Given {
  readonly text: string;
  readonly source: string;
}

export interface ConfigFile {
  readonly path: string;
  readonly settings: Readonly<Record<string, string>>;
}

/** A setting means nothing; the message names it, and where it came from. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Read if it is there. */
const USUAL_FILE = 'stlm.config.json';

/** @param named must be there, unlike the usual file. @throws {ConfigError} */
export function readConfigFile(named: string | undefined): ConfigFile | undefined {
  const path = named ?? USUAL_FILE;
  let json: string;
  try {
    json = readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (named === undefined && code === 'ENOENT') return undefined;
    throw new ConfigError(`the configuration file ${path} cannot be read (${code})`, { cause });
  }
  return { path, settings: Object.fromEntries(Object.entries(asObject(json, path)).map(([name, value]) => [name, asText(name, value, path)])) };
}

function asObject(json: string, path: string): object {
  let content: unknown;
  try {
    content = JSON.parse(json);
  } catch (cause) {
    throw new ConfigError(`the configuration file ${path} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof content === 'object' && content !== null && !Array.isArray(content)) return content;
  throw new ConfigError(`the configuration file ${path} is not an object of settings`);
}

/** Lists that may be empty, and their word for it: an empty text is no setting. */
const EMPTY_LISTS: Readonly<Record<string, string>> = { STLM_PRELOAD: 'none' };

/** As the environment would have it, so that one schema reads both. */
function asText(name: string, value: unknown, path: string): string {
  if (Array.isArray(value) && value.length === 0) {
    const none = EMPTY_LISTS[name];
    if (none === undefined) throw new ConfigError(`${name}: the list is empty; leave it out for the default (from ${path})`);
    return none;
  }
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value.join(',');
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new ConfigError(`${name}: expected a text, a number, true or false, or a list of texts (from ${path})`);
}

/** Deployment tools pass what is not set as an empty text. */
export function gather(environment: Environment, file: ConfigFile | undefined): Readonly<Record<string, Given>> {
  const from = (source: string, settings: Environment) =>
    Object.entries(settings).flatMap(([name, text]) => (text === undefined || text === '' ? [] : [[name, { text, source }] as const]));
  return Object.fromEntries([...(file === undefined ? [] : from(file.path, file.settings)), ...from('environment', environment)]);
}
