/** `stlm models alias`: which release of a store is served. */
import { Command, InvalidArgumentError } from 'commander';
import { openWritable } from '../registry/open-store.js';
import { readAliases, releaseAt, writeAliases } from '../registry/releases.js';
import type { ReleaseAliases } from '../schema/release-aliases.js';
import { configOption } from './config-option.js';
import { type ConfigOptions, configuration } from './configuration.js';
import { manifestsOf, releaseIdOf, writableLocationOf } from './stores.js';

type Options = ConfigOptions & { readonly share?: number };

export function aliasCommand(): Command {
  return new Command('alias')
    .description('Says which release of a store is served, and sets it: servers see that within STLM_RELEASE_POLL_S, forward and back.')
    .argument('<store>', 'a folder, or s3://bucket/prefix')
    .argument('[name]', 'stable or canary')
    .argument('[release]', 'its id, as `push` printed it; for canary also "none"')
    .option('--share <share>', 'of the requests that the canary gets, above 0 and at most 1', share)
    .addOption(configOption())
    .action(alias);
}

async function alias(address: string, name: string | undefined, release: string | undefined, options: Options): Promise<void> {
  const config = configuration(options);
  const location = writableLocationOf(address, config);
  const store = await openWritable(location);
  const before = await readAliases(store);
  if (name !== undefined) {
    const after = changed(before, name, release, options.share);
    // What is about to be served is looked at first.
    if (release !== 'none') await manifestsOf(await openWritable(releaseAt(location, release!)), config);
    await writeAliases(store, after);
  }
  const { stable, canary } = (await readAliases(store)) ?? {};
  console.log(stable === undefined ? 'no release is served' : `stable ${stable}`);
  if (canary !== undefined) console.log(`canary ${canary.release} for ${canary.share} of the requests`);
}

function changed(before: ReleaseAliases | undefined, name: string, release: string | undefined, share: number | undefined): ReleaseAliases {
  if (release === undefined) throw new Error(`which release is to be ${name}?`);
  if (name === 'stable') return { ...before, stable: releaseIdOf(release) };
  if (name !== 'canary') throw new Error(`${name}: expected stable or canary`);
  if (before === undefined) throw new Error('a canary needs a stable release beside it');
  if (release === 'none') return { stable: before.stable };
  if (share === undefined) throw new Error('a canary needs its --share');
  return { stable: before.stable, canary: { release: releaseIdOf(release), share } };
}

function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('expected a number above 0 and at most 1');
  return value;
}
