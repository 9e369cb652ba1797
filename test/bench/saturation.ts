/** The rate that fills the cores: what loads are multiples of. */
import { ModelFileCache } from '../../functions/registry/fetch.js';
import { FolderStore } from '../../functions/registry/folder-store.js';
import { Registry } from '../../functions/registry/registry.js';
import type { Client } from '../load/client.js';
import { mixedRequests, promptOf, type Trace } from '../load/trace.js';
import { idleOracle, type OracleRequest } from './oracle.js';
import { measureServiceTime, promptPatchesOf, serviceMs, type ServiceTime } from './service-times.js';

const SATURATION_SAMPLE = 2_000;

/** @param cores that compute at the same time */
export async function serviceTimes(client: Client, { artifacts, folder }: { artifacts: string; folder: string }, cores: number): Promise<ServiceTime[]> {
  const { manifests } = await Registry.open(new FolderStore(artifacts), new ModelFileCache(folder));
  const times: ServiceTime[] = [];
  for (const { id, context, bytesPerPatch } of manifests) {
    const time = await measureServiceTime(client, { id, contextPatches: context.patches, bytesPerPatch }, cores);
    times.push(time);
    const aloneMs = serviceMs(time, { promptPatches: Math.round(300 / bytesPerPatch), maxTokens: 64 });
    console.error(`  ${id} alone: ${aloneMs.toFixed(0)} ms for 64 bytes after a prompt of 300; ${time.sharing.toFixed(2)} times that on ${cores} core${cores > 1 ? 's' : ''} at once; again and again within ${(100 * time.scatterP95).toFixed(0)} % (p95)`);
  }
  return times;
}

/** Requests per second whose work, each on its largest tier, fills so many cores. */
export function saturationPerSecond(times: readonly ServiceTime[], seed: number, cores: number): number {
  const sample = asOracleRequests(mixedRequests(Array.from({ length: SATURATION_SAMPLE }, () => 0), seed), times);
  const workMs = sample.reduce((sum, request) => {
    const size = idleOracle(times, request);
    return sum + (size < 0 ? 0 : times[size]!.sharing * serviceMs(times[size]!, request.work[size]!));
  }, 0);
  return (1_000 * cores * sample.length) / workMs;
}

export function asOracleRequests(requests: Trace['requests'], times: readonly ServiceTime[]): OracleRequest[] {
  return requests.map((request, index) => {
    const prompt = promptOf(index, request);
    const work = times.map(({ contextPatches }) => ({ promptPatches: promptPatchesOf(prompt, contextPatches), maxTokens: request.maxTokens }));
    return { atMs: request.atMs, budgetMs: request.budgetMs, work };
  });
}
