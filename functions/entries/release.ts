/** One release of a store as a deployment beside others. */
import type { Config } from '../config.js';
import type { Release } from '../rollout.js';
import { warmRest, warmSmallest } from '../warm-up.js';
import type { Common } from './common.js';
import { deploy, type Deployment } from './deployment.js';
import type { OpenModels } from './models.js';
import { ofRelease } from './release-config.js';

export interface RunningRelease extends Release {
  readonly deployment: Deployment;
  /** Warms it, the larger tiers once the smallest has given its golden text. @throws if it does not, once all is closed again. */
  prove(): Promise<void>;
  close(): Promise<void>;
}

/** It is whole in no way that another attempt would change. */
export class BrokenReleaseError extends Error {}

/** @param models its own, where they are open already */
export async function openRelease(config: Config, common: Common, id: string, models?: OpenModels): Promise<RunningRelease> {
  const logger = common.logger.child({ release: id });
  const deployment = await deploy(ofRelease(config, id), { common: { ...common, logger }, ...(models && { models }) });
  const { app, drain, engine, decisions } = deployment;
  const close = async () => {
    await engine.close();
    await decisions?.close();
  };
  logger.info({}, 'release opened');
  return {
    id,
    deployment,
    fetch: app.fetch,
    close,
    prove: async () => {
      try {
        await warmSmallest(deployment);
        await proveSmallest(id, deployment);
        await warmRest(deployment);
      } catch (error) {
        await close();
        throw error;
      }
    },
    retire: async () => {
      await drain.start();
      await close();
      logger.info({}, 'release retired');
    },
  };
}

async function proveSmallest(id: string, { engine, readiness }: Deployment): Promise<void> {
  const [smallest] = engine.manifests;
  if (smallest === undefined) throw new BrokenReleaseError(`release ${id} has no usable tier`);
  const { golden } = await readiness.prove(smallest.id);
  if (golden === 'reproduced' || golden === 'diverges') return;
  const { state, reason = 'it does not give its golden text' } = engine.status().find((tier) => tier.id === smallest.id)!;
  const message = `release ${id}: its smallest tier, ${smallest.id}, cannot be served: ${reason}`;
  // One that is cold after all could not be had just now.
  throw golden === 'differs' || state === 'quarantined' ? new BrokenReleaseError(message) : new Error(message);
}
