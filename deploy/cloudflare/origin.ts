/** Starts the server's containers and hands them requests. */
import { Container, getRandom } from '@cloudflare/containers';

interface Env {
  readonly ORIGIN: DurableObjectNamespace<Origin>;
}

/** As `max_instances` has it. */
const INSTANCES = 3;

export class Origin extends Container<Env> {
  override defaultPort = 8_080;
  /** Waking takes seconds, which no budget counts: it begins when a request reaches the server. */
  override sleepAfter = '15m';
  override pingEndpoint = 'localhost/readyz';
  /** Its models are in the image. */
  override enableInternet = false;
  /** Only Workers with a binding reach it, and who may ask is settled there. */
  override envVars = { STLM_OPEN: 'true' };
}

export default {
  async fetch(request, env) {
    const origin = await getRandom(env.ORIGIN, INSTANCES);
    return origin.fetch(request);
  },
} satisfies ExportedHandler<Env>;
