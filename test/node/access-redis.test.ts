/** Limits that replicas share, against a real Redis. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sha256Hex } from '../../functions/access/keys.js';
import { Limits } from '../../functions/access/limits.js';
import { countInRedis } from '../../functions/access/redis-limits.js';
import { lacks } from '../fleet/program.js';
import { type RedisServer, startRedis } from '../fleet/redis.js';
import { startServer } from '../server-process.js';

const web = { name: 'web' };
const keys = [{ ...web, sha256: 'a'.repeat(64), requests_per_minute: 10, tokens_per_minute: 100 }];
const AWAY = 'Redis is away';

const leftOut = lacks('redis-server');

describe.skipIf(leftOut)('limits that are shared through Redis', () => {
  let redis: RedisServer;
  let closers: (() => void)[];
  beforeEach(async () => {
    redis = await startRedis();
    closers = [];
  });
  afterEach(async () => {
    for (const close of closers) close();
    await redis.stop('SIGKILL');
  });

  /** One of a fleet, connected. */
  async function replica() {
    const log: string[] = [];
    const say = (_: object, message: string) => void log.push(message);
    const counters = countInRedis(redis.url, { info: say, warn: say });
    closers.push(counters.close);
    await expect.poll(() => log).toEqual(['limits are shared through Redis']);
    return { limits: new Limits(keys, counters.newLimiter), log };
  }

  test('grant replicas no more together than one alone', async () => {
    const [a, b] = [await replica(), await replica()];
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => [a, b][index % 2]!.limits.take('tokens', web, 10)));
    expect(answers.filter((answer) => answer!.granted)).toHaveLength(10);
  });

  test('say on one replica what another has taken, and take back what it returns', async () => {
    const [a, b] = [await replica(), await replica()];
    await a.limits.take('tokens', web, 60);
    expect(await b.limits.take('tokens', web, 60)).toMatchObject({ granted: false, remaining: 40 });
    expect(await b.limits.take('tokens', web, 30)).toMatchObject({ granted: true, remaining: 10 });
    await a.limits.giveBack('tokens', web, 60);
    expect(await b.limits.take('tokens', web, 70)).toMatchObject({ granted: true, remaining: 0, limit: 100 });
  });

  test('are counted by each replica while Redis is dead, and together again when it is back; the log says so once', async () => {
    const { limits, log } = await replica();
    await limits.take('tokens', web, 100);
    await redis.stop('SIGKILL');
    const alone = [];
    for (let index = 0; index < 5; index += 1) alone.push(await limits.take('tokens', web, 25));
    expect(alone.map((answer) => answer!.granted)).toEqual([true, true, true, true, false]);
    // Some attempts to come back fail meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(log.filter((line) => line.startsWith(AWAY))).toHaveLength(1);

    redis = await startRedis(redis.port);
    await expect.poll(() => log.at(-1)).toBe('Redis is back: limits are shared again');
    expect(await limits.take('tokens', web, 100)).toMatchObject({ granted: true, remaining: 0 });
  });

  test('hold nobody up while Redis is there and says nothing', async () => {
    const { limits } = await replica();
    redis.process.kill('SIGSTOP');
    const waitsMs: number[] = [];
    for (let index = 0; index < 10; index += 1) {
      const startMs = performance.now();
      expect((await limits.take('requests', web, 1))!.granted).toBe(true);
      waitsMs.push(performance.now() - startMs);
    }
    // A silent command takes 100 ms at least; one shows that the others are not worth waiting for.
    expect(waitsMs.toSorted((a, b) => a - b)[5]).toBeLessThan(100);
  });
});

test.skipIf(leftOut)('two servers hold a key to one limit, and answer all the same when Redis is killed', async () => {
  const redis = await startRedis();
  const folder = await mkdtemp(join(tmpdir(), 'stlm-fleet-keys-'));
  const file = join(folder, 'keys.json');
  await writeFile(file, JSON.stringify({ keys: [{ name: 'web', sha256: await sha256Hex('secret'), requests_per_minute: 3 }] }));
  const environment = { STLM_KEYS: file, STLM_REDIS_URL: redis.url, STLM_WORKERS: '1' };
  const servers = [await startServer(environment), await startServer(environment)];
  const ask = async (index: number) => {
    const body = JSON.stringify({ model: 'stlm-auto', prompt: 'Once', max_tokens: 4, latency_budget_ms: 60_000 });
    return (await fetch(`${servers[index]!.url}/v1/completions`, { method: 'POST', body, headers: { authorization: 'Bearer secret' } })).status;
  };
  for (const server of servers) await expect.poll(() => server.output.join('\n')).toContain('limits are shared through Redis');
  expect([await ask(0), await ask(1), await ask(0), await ask(1), await ask(0)]).toEqual([200, 200, 200, 429, 429]);

  await redis.stop('SIGKILL');
  expect([await ask(0), await ask(1), await ask(0), await ask(1)]).toEqual([200, 200, 200, 200]);
  for (const server of servers) await expect.poll(() => server.output.filter((line) => line.includes(AWAY))).toHaveLength(1);
  for (const server of servers) expect(await server.stop()).toBe(0);
  await rm(folder, { recursive: true });
});
