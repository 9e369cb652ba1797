/** Who may ask for text, and how much of it: keys and limits as HTTP has them. */
import type { Context } from 'hono';
import type { KeyRing } from '../access/keys.js';
import type { Allowance, Limits, Measure } from '../access/limits.js';
import { ApiError, unauthorized } from './api-error.js';
import type { App, AppEnv } from './context.js';

export interface Access {
  readonly keys: KeyRing;
  readonly limits: Pick<Limits, 'take' | 'giveBack'>;
}

/** Everything under `/v1` wants a key, if the deployment has any; asking for text also counts against its limit. */
export function guard(app: App, access: Access): void {
  app.use('/v1/*', async function guardAccess(c, next) {
    const client = await access.keys.identify(keyOf(c));
    if (client === undefined) throw unauthorized();
    c.set('client', client);
    if (c.req.method === 'POST') await spend(c, access, 'requests', 1);
    await next();
  });
}

/** @throws {ApiError} 429 if the client's limit does not allow it; then nothing has been spent. */
export async function spend(c: Context<AppEnv>, { limits }: Access, measure: Measure, points: number): Promise<void> {
  const allowance = await limits.take(measure, c.var.client, points);
  if (allowance === undefined) return;
  c.header(`x-ratelimit-limit-${measure}`, String(allowance.limit));
  c.header(`x-ratelimit-remaining-${measure}`, String(allowance.remaining));
  c.header(`x-ratelimit-reset-${measure}`, duration(allowance.resetMs));
  if (!allowance.granted) throw exhausted(allowance, points);
  c.set('spent', [...(c.var.spent ?? []), { measure, points }]);
}

/** Returns what a request has spent that had no text for it, through no fault of its own. */
export async function refund(c: Context<AppEnv>, { limits }: Access): Promise<void> {
  for (const { measure, points } of c.var.spent ?? []) await limits.giveBack(measure, c.var.client, points);
}

/** `Authorization: Bearer key`, what every client of the OpenAI API sends. */
function keyOf(c: Context<AppEnv>): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1];
}

function exhausted({ measure, limit, resetMs }: Allowance, points: number): ApiError {
  if (points > limit) {
    return new ApiError(400, 'limit_too_small', `this request counts ${points} ${measure}; the key allows ${limit} a minute`, { param: 'max_tokens' });
  }
  return new ApiError(429, 'rate_limit_exceeded', `the key allows ${limit} ${measure} a minute`, { retryAfterMs: resetMs });
}

/** As the OpenAI API writes it: `20ms`, `1.5s`, `1m2s`. */
function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${Math.round(ms / 100) / 10}s`;
  return `${Math.floor(ms / 60_000)}m${Math.round((ms % 60_000) / 1_000)}s`;
}
