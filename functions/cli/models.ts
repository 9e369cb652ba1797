/** `stlm models`: artifacts and where they lie. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { openWritable } from '../registry/open-store.js';
import { pullTier, verifyTier } from '../registry/pull.js';
import { push, releaseAt, releaseOf } from '../registry/releases.js';
import { newKeys, publicKeyOf, signManifest } from '../registry/signature.js';
import { signaturePath } from '../registry/store.js';
import { aliasCommand } from './alias.js';
import { configOption } from './config-option.js';
import { type ConfigOptions, configuration } from './configuration.js';
import { megabytes, progressBar } from './progress.js';
import { locationOf, manifestsOf, openReleased, releaseOption, type TierOptions, tiersOption, writableLocationOf } from './stores.js';

type Options = ConfigOptions & TierOptions;
type Released = Options & { readonly release: string };

export function modelsCommand(): Command {
  const models = new Command('models').description('Lists, checks and copies models: between folders, S3-compatible stores and, to read from, http(s) addresses.');
  const command = (name: string, description: string) => models.command(name).description(description).addOption(configOption());
  const anywhere = 'a folder, s3://bucket/prefix or an http(s) address';
  const whence = `${anywhere}; what STLM_ARTIFACTS says if absent`;

  command('ls', 'Lists tiers.').argument('[store]', whence).addOption(releaseOption()).addOption(tiersOption()).action(list);
  command('verify', 'Reads every byte of them and compares it with the manifests, and these with their signatures if STLM_TRUSTED_KEYS has keys.')
    .argument('[store]', whence)
    .addOption(releaseOption())
    .addOption(tiersOption())
    .action(verify);
  command('pull', 'Copies tiers into a folder, checked; a tier appears there once it is whole.')
    .argument('<store>', anywhere)
    .argument('<folder>')
    .addOption(releaseOption())
    .addOption(tiersOption())
    .action(pull);
  command('push', 'Copies the tiers of a folder into a store, as a release. `alias` has it served.').argument('<folder>').argument('<store>', 'another folder, or s3://bucket/prefix').addOption(tiersOption()).action(pushFolder);
  command('keygen', 'Makes a pair of keys: the private one into a file, the public one, for STLM_TRUSTED_KEYS, on standard output.').argument('<file>').action(keygen);
  command('sign', 'Signs the manifests of a folder.').argument('<folder>').requiredOption('--key <file>', 'the private key').addOption(tiersOption()).action(signFolder);
  return models.addCommand(aliasCommand());
}

async function list(address: string | undefined, options: Released): Promise<void> {
  const config = configuration(options);
  const store = await openReleased(address === undefined ? config.artifacts : locationOf(address, config), options.release);
  for (const { manifest, signature } of await manifestsOf(store, config, options)) {
    const { id, parameters, files, evaluation, chat } = manifest;
    const quality = evaluation === undefined ? 'not evaluated' : `${evaluation.mean.toFixed(3)} bits/byte`;
    const held = files.map(({ precision, bytes }) => `${precision} ${megabytes(bytes)}`).join(', ');
    console.log([id.padEnd(12), `${(parameters.unique / 1e6).toFixed(1)}M parameters`, held, quality, chat ? 'chat' : 'no chat', signature === undefined ? 'unsigned' : 'signed'].join('  '));
  }
}

async function verify(address: string | undefined, options: Released): Promise<void> {
  const config = configuration(options);
  const store = await openReleased(address === undefined ? config.artifacts : locationOf(address, config), options.release);
  const tiers = await manifestsOf(store, config, options);
  const progress = progressBar(tiers);
  for (const tier of tiers) {
    await verifyTier(store, tier, progress);
    console.log(`${tier.manifest.id} is whole${config.trustedKeys.length > 0 ? ', and signed by a trusted key' : ''}`);
  }
}

async function pull(address: string, folder: string, options: Released): Promise<void> {
  const config = configuration(options);
  const store = await openReleased(locationOf(address, config), options.release);
  const tiers = await manifestsOf(store, config, options);
  const progress = progressBar(tiers);
  for (const tier of tiers) console.log(`${tier.manifest.id} ${(await pullTier(store, tier, folder, progress)) ? 'is in' : 'was already in'} ${folder}`);
}

async function pushFolder(folder: string, address: string, options: Options): Promise<void> {
  const config = configuration(options);
  const location = writableLocationOf(address, config);
  const source = await openWritable({ kind: 'folder', path: folder });
  const tiers = await manifestsOf(source, config, options);
  for (const tier of tiers) await verifyTier(source, tier, () => undefined);
  const release = releaseOf(tiers);
  await push(source, tiers, await openWritable(releaseAt(location, release)), progressBar(tiers));
  console.log(release);
}

async function keygen(file: string): Promise<void> {
  const keys = newKeys();
  await writeFile(file, keys.privateKeyPem, { flag: 'wx', mode: 0o600 });
  console.log(keys.publicKey);
}

async function signFolder(folder: string, { key, ...options }: Options & { readonly key: string }): Promise<void> {
  const privateKeyPem = await readFile(key, 'utf8');
  // Those that are there need not be trusted: they are about to be replaced.
  for (const { manifest, text } of await manifestsOf(await openWritable({ kind: 'folder', path: folder }), { trustedKeys: [] }, options)) {
    await writeFile(join(folder, signaturePath(manifest.id)), signManifest(text, privateKeyPem));
    console.log(`${manifest.id} is signed by ${publicKeyOf(privateKeyPem)}`);
  }
}
