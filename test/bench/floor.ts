/** How far a tier's decoding is from the time that reading its weights alone takes: the floor of any engine that reads them at every patch. */
import type { Manifest } from '../../functions/schema/manifest.js';
import { defaultFile } from '../../functions/registry/manifest.js';
import { measure } from './child.js';
import type { ReadMeasurement } from './systems/protocol.js';

export interface Floor {
  readonly threads: number;
  /** Of the weights that every patch reads. */
  readonly bytes: number;
  readonly passMs: number;
}

/** Tables are looked up, a few rows a patch: they take room and hardly any time. */
export function weightBytes(manifest: Manifest): number {
  const { unique, embedding } = manifest.parameters;
  return Math.round(defaultFile(manifest).bytes * (1 - embedding / unique));
}

export async function measureFloor(manifest: Manifest, threads: number): Promise<Floor> {
  const bytes = weightBytes(manifest);
  const { passMs } = await measure<ReadMeasurement>({ system: 'stlm', settings: 'reading memory', program: 'read-bandwidth', task: { bytes, threads } });
  return { threads, bytes, passMs };
}

export function floorLine(patchMs: number, threads: number, floors: readonly Floor[]): string {
  const reads = floors.map((floor) => `${floor.passMs.toFixed(3)} ms in ${floor.threads} (${(floor.bytes / floor.passMs / 1e6).toFixed(1)} GB/s)`);
  const own = floors.find((floor) => floor.threads === threads);
  const distance = own === undefined ? '' : `, ${(patchMs / own.passMs).toFixed(1)} times as long`;
  const megabytes = ((floors[0]?.bytes ?? 0) / 1e6).toFixed(1);
  return `a patch reads ${megabytes} MB of weights, which by threads takes ${reads.join(', ')}; it is decoded in ${patchMs.toFixed(3)} ms in ${threads}${distance}`;
}
