/** Prompts that begin like one before: who may share with whom, and what the router is told of it. */
import { ANONYMOUS, type Client, sha256Hex } from '../access/keys.js';
import type { Engine } from '../engine/types.js';
import type { RouteRequest } from '../router/types.js';
import type { Plan } from './plan.js';

/** Of one client. Where everybody may ask, of whoever says the same of himself; a hash, so that what may be a key goes no further. */
export async function cacheSalt(client: Client, authorization: string | undefined): Promise<string> {
  if (client !== ANONYMOUS) return `client ${client.name}`;
  return authorization === undefined ? ANONYMOUS.name : `sha256 ${await sha256Hex(authorization)}`;
}

/** The plan's request with what each placement would not have to read again: of several prompts, what is sure of each. */
export function knowingCache(engine: Pick<Engine, 'cachedPatches'>, { route, promptsFor }: Plan, salt: string): RouteRequest {
  const byTier = (tier: string) => {
    const cached = promptsFor(tier).map(({ ids }) => engine.cachedPatches(tier, ids, salt));
    return cached[0]!.map((_, worker) => Math.min(...cached.map((workers) => workers[worker]!)));
  };
  return { ...route, cachedPatches: Object.fromEntries(Object.keys(route.promptPatches).map((tier) => [tier, byTier(tier)])) };
}
