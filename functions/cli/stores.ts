/** The stores that the `stlm models` commands name. */
import { Option } from 'commander';
import type { Config } from '../config.js';
import { locate, openStore, type StoreLocation } from '../registry/open-store.js';
import { readSigned, type SignedManifest } from '../registry/read-manifest.js';
import { readAliases, releaseAt } from '../registry/releases.js';
import { stableAt } from '../registry/stable.js';
import type { ArtifactStore } from '../registry/store.js';
import { releaseId } from '../schema/release-aliases.js';

export type WritableLocation = Exclude<StoreLocation, { kind: 'http' }>;

export interface TierOptions {
  readonly tiers?: string[];
}

export function tiersOption(): Option {
  return new Option('--tiers <ids>', 'only these, separated by commas').argParser((list) => list.split(',').map((id) => id.trim()));
}

export function releaseOption(): Option {
  return new Option('--release <name>', 'of a store with releases: stable, canary, or the id of one').default('stable');
}

/** @throws what the address lacks. */
export function locationOf(address: string, config: Config): StoreLocation {
  const { location, problem } = locate(address, config.stores);
  if (location === undefined) throw new Error(`${address}: ${problem}`);
  return location;
}

/** @throws if nothing can be written there. */
export function writableLocationOf(address: string, config: Config): WritableLocation {
  const location = locationOf(address, config);
  if (location.kind === 'http') throw new Error(`${address}: an http(s) address can only be read`);
  return location;
}

/** @throws what an id looks like. */
export function releaseIdOf(text: string): string {
  const { success, error } = releaseId.safeParse(text);
  if (!success) throw new Error(`${text}: ${error.issues[0]!.message}`);
  return text;
}

/** Of a store with releases, the named one. */
export async function openReleased(location: StoreLocation, release: string): Promise<ArtifactStore> {
  if (release === 'stable') return openStore(await stableAt(location));
  if (release !== 'canary') return openStore(releaseAt(location, releaseIdOf(release)));
  const store = await openStore(location);
  const aliases = await readAliases(store);
  if (aliases === undefined) return store;
  const id = aliases.canary?.release;
  if (id === undefined) throw new Error('there is no canary');
  return openStore(releaseAt(location, id));
}

/** The smallest first. @throws for a manifest that is no good, or not signed by a trusted key where there are any. */
export async function manifestsOf(store: ArtifactStore, { trustedKeys }: Pick<Config, 'trustedKeys'>, { tiers }: TierOptions = {}): Promise<SignedManifest[]> {
  const ids = tiers ?? (await store.tiers());
  if (ids.length === 0) throw new Error('there is no tier there');
  const manifests = await Promise.all(
    ids.map(async (tier) => {
      try {
        return await readSigned(store, tier, trustedKeys);
      } catch (error) {
        throw new Error(`${tier}: ${(error as Error).message}`, { cause: error });
      }
    }),
  );
  return manifests.toSorted((a, b) => a.manifest.parameters.unique - b.manifest.parameters.unique);
}

