/**
 * Limits that replicas count together, in Redis. While it is away each replica counts by itself, in memory: a key may then ask for up to
 * its limit on every replica, and no request fails or waits for Redis.
 *
 * @module
 */
import { Redis } from 'ioredis';
import { RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible';
import type { NewLimiter } from './limits.js';

/** Redis on the same network answers within one. After so long without a word it is taken for away, and no further request waits. */
const LONGEST_SILENCE_MS = 100;
const LONGEST_CONNECT_MS = 2_000;
const MOST_RECONNECT_DELAY_MS = 2_000;
const NAMESPACE = 'stlm';

export interface RedisLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface SharedCounters {
  readonly newLimiter: NewLimiter;
  close(): void;
}

/** Connects meanwhile, and again whenever the connection is lost. */
export function countInRedis(url: string, log: RedisLog): SharedCounters {
  const client = new Redis(url, {
    // A command that cannot be sent now is not to be sent later: its request has been counted in memory by then.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    socketTimeout: LONGEST_SILENCE_MS,
    connectTimeout: LONGEST_CONNECT_MS,
    // Else its timer holds a process that ends while Redis is away for two seconds.
    disconnectTimeout: LONGEST_SILENCE_MS,
    retryStrategy: (attempt) => Math.min(100 * attempt, MOST_RECONNECT_DELAY_MS),
  });
  logOutages(client, log);
  return {
    newLimiter: ({ keyPrefix, ...limit }) =>
      new RateLimiterRedis({
        storeClient: client,
        keyPrefix: `${NAMESPACE}:${keyPrefix}`,
        rejectIfRedisNotReady: true,
        insuranceLimiter: new RateLimiterMemory({ keyPrefix, ...limit }),
        ...limit,
      }),
    close: () => client.disconnect(),
  };
}

/** Once each: every attempt to come back fails with an error of its own. */
function logOutages(client: Redis, log: RedisLog): void {
  let away = false;
  client.on('error', (error) => {
    if (away) return;
    away = true;
    log.warn({ error }, 'Redis is away: until it is back this replica counts the limits of keys by itself');
  });
  client.on('ready', () => {
    log.info({}, away ? 'Redis is back: limits are shared again' : 'limits are shared through Redis');
    away = false;
  });
}
