import { openStore, type StoreLocation } from './open-store.js';
import { readAliases, releaseAt } from './releases.js';

/** Where the tiers lie that are to be served: in a store with releases those of the stable one, else where they are. */
export async function stableAt(location: StoreLocation): Promise<StoreLocation> {
  const aliases = await readAliases(await openStore(location));
  return aliases === undefined ? location : releaseAt(location, aliases.stable);
}
