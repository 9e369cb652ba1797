import type { Context } from 'hono';
import type { Drain, Flight } from '../drain.js';
import { draining } from './api-error.js';
import type { AppEnv } from './context.js';

/**
 * A request is in flight from before its body is read, so that a server that stops waits for it. `work` lands the flight when the last
 * of the answer has been made; if it throws, nothing more will come.
 *
 * @throws {ApiError} 503 once the server stops, and whatever `work` throws.
 */
export async function inFlight(c: Context<AppEnv>, drain: Drain, work: (flight: Flight) => Promise<Response>): Promise<Response> {
  if (drain.draining) throw draining();
  const flight = drain.takeOff(c.req.raw.signal);
  try {
    return await work(flight);
  } catch (error) {
    flight.land();
    throw error;
  }
}
