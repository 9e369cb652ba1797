/** The parts of a server on Node, made from its configuration and wired to each other. */
import { randomUUID } from 'node:crypto';
import { createApp } from '../app.js';
import type { Config } from '../config.js';
import { openDecisionLog } from '../decision-log.js';
import { Drain } from '../drain.js';
import { EnergyMeter } from '../energy/energy.js';
import { Readiness } from '../readiness.js';
import { createRouter } from '../router/router.js';
import { type Common, openCommon } from './common.js';
import { openModels, type OpeningOptions, type OpenModels } from './models.js';
import { servePages } from './pages.js';

const nowMs = () => performance.timeOrigin + performance.now();

export type Deployment = Awaited<ReturnType<typeof deploy>>;

interface Surroundings extends OpeningOptions {
  /** What the process has already. */
  readonly common?: Common;
  readonly models?: OpenModels;
}

/** @throws what keeps a server from starting, once no thread is left; it is the operator's to mend. */
export async function deploy(config: Config, { common, models, ...opening }: Surroundings = {}) {
  const { registry, engine, preload } = models ?? (await openModels(config, opening));
  try {
    const { logger, keys, access, grammars, metrics, tracer, power, measured } = common ?? (await openCommon(config));
    const { aliases, corsOrigins, budgetDefaults, policy, decisionLog } = config;
    const decisions = decisionLog === undefined ? undefined : await openDecisionLog(decisionLog, (error) => logger.error({ error }, 'the decision log ends here'));
    measured.engine ??= engine;
    const router = createRouter({ engine, nowMs, log: logger, policy, ...(decisions && { record: decisions.write }) });
    const [drain, readiness, energy] = [new Drain(), new Readiness(engine), new EnergyMeter(power)];
    const app = createApp({ engine, router, aliases, corsOrigins, budgetDefaults, access, grammars, drain, readiness, logger, metrics, energy, tracer, nowMs, newId: randomUUID });
    servePages(app);
    return { app, engine, registry, router, drain, readiness, decisions, logger, preload, apiKey: keys.ownKey };
  } catch (error) {
    await engine.close();
    throw error;
  }
}
