/** Where a command's texts come from: a running server, or one inside this process. */
import { type Command, Option } from 'commander';
import { Stlm } from '../client/index.js';
import type { Config } from '../config.js';
import { tierId } from '../schema/manifest.js';
import { configOption } from './config-option.js';
import { type ConfigOptions, configuration } from './configuration.js';

const AUTO = 'stlm-auto';

export interface LocalServer {
  readonly fetch: typeof fetch;
  readonly apiKey: string;
  /** Tiers that cannot be served, with the reason. */
  readonly broken: readonly string[];
  close(): Promise<void>;
}

/** Resolves once it is warm. */
export type StartLocal = (config: Config) => Promise<LocalServer>;

export interface ConnectOptions extends ConfigOptions {
  readonly url?: string;
  readonly model: string;
}

export interface Connection {
  readonly stlm: Stlm;
  close(): Promise<void>;
}

export function withConnectOptions(command: Command): Command {
  return command
    .addOption(new Option('--url <address>', 'a running server, with its key in STLM_API_KEY; without it the models run in this process').env('STLM_URL'))
    .addOption(configOption())
    .option('--model <id>', 'a tier, or what chooses one', AUTO);
}

export async function connect(options: ConnectOptions, startLocal: StartLocal): Promise<Connection> {
  if (options.url) return { stlm: new Stlm({ baseUrl: baseUrl(options.url), ...(process.env['STLM_API_KEY'] && { apiKey: process.env['STLM_API_KEY'] }) }), close: async () => undefined };
  if (process.stderr.isTTY) process.stderr.write('loading the models …');
  const local = await startLocal(preloading(options.model, configuration(options)));
  if (process.stderr.isTTY) process.stderr.write('\r\u001B[K');
  for (const reason of local.broken) console.error(`stlm: ${reason}`);
  return { stlm: new Stlm({ baseUrl: 'http://local/v1', apiKey: local.apiKey, fetch: local.fetch }), close: local.close };
}

/** A command that names its tier need not wait for the others. What is no tier is for the API to refuse. */
function preloading(model: string, config: Config): Config {
  return tierId.safeParse(model).success && model !== AUTO ? { ...config, pool: { ...config.pool, preload: [model] } } : config;
}

/** @throws what says how an address looks. */
function baseUrl(address: string): string {
  if (!/^https?:$/.test(URL.canParse(address) ? new URL(address).protocol : '')) throw new Error(`--url: ${address} is no http(s) address, as http://127.0.0.1:8080 is`);
  return `${address.replace(/\/+$/, '').replace(/\/v1$/, '')}/v1`;
}
