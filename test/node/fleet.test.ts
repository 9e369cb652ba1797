/** Several servers behind a real HAProxy, configured as `deploy/haproxy/` has it. */
import { spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Haproxy, startHaproxy, TEMPLATE } from '../fleet/haproxy.js';
import { lacks } from '../fleet/program.js';
import { type Replica, startReplica } from '../fleet/replica.js';

const leftOut = lacks('haproxy');
/** As long as the template's agent and health checks take to notice, twice. */
const LEAVING = { STLM_DRAIN_DELAY_S: '2' };
const LONG = { prompt: ['One', 'Two', 'Three', 'Four'], max_tokens: 1_000 };

test.skipIf(leftOut)('the configuration to deploy is one that HAProxy accepts without a warning', () => {
  const { status, stderr, stdout } = spawnSync('haproxy', ['-c', '-f', TEMPLATE], { encoding: 'utf8' });
  expect({ status, said: (stdout + stderr).trim() }).toEqual({ status: 0, said: 'Configuration file is valid' });
});

describe.skipIf(leftOut)('a fleet', () => {
  let replicas: Replica[];
  let haproxy: Haproxy;
  beforeEach(async () => {
    replicas = await Promise.all([startReplica(LEAVING), startReplica(LEAVING)]);
    haproxy = await startHaproxy(replicas);
  });
  afterEach(async () => {
    await haproxy.stop();
    for (const { process } of replicas) process.kill('SIGKILL');
  });

  const ask = (fields: object = {}, init: RequestInit = {}) =>
    fetch(`${haproxy.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'stlm-auto', prompt: 'Once', max_tokens: 8, latency_budget_ms: 60_000, ...fields }),
      ...init,
    });
  const answered = (requestId: string | null) => replicas.flatMap(({ output }) => output).find((line) => line.includes(`"requestId":"${requestId}"`));
  const inFlight = async () => (await haproxy.servers()).map((server) => server.inFlight);

  test('gives a replica that has a queue less weight, and all of it back when it is through', async () => {
    const agentSays = () => text(connect(replicas[0]!.agentPort, '127.0.0.1'));
    expect(await agentSays()).toBe('ready up 100%\n');
    const long = fetch(`http://127.0.0.1:${replicas[0]!.port}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'stlm-auto', latency_budget_ms: 60_000, seed: 1, n: 8, ...LONG }),
    });
    await expect.poll(agentSays).toMatch(/^ready up [1-9]?[0-9]%\n$/);
    await expect.poll(async () => (await haproxy.servers())[0]!.weight, { interval: 50 }).toBeLessThan(100);
    expect((await haproxy.servers())[1]!.weight).toBe(100);
    expect((await long).status).toBe(200);
    await expect.poll(async () => (await haproxy.servers())[0]!.weight).toBe(100);
  });

  test('passes every piece of a stream on when it comes', async () => {
    const stream = await ask({ ...LONG, stream: true });
    const reader = stream.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toContain('data: {');
    expect((await inFlight()).toSorted()).toEqual([0, 1]);
    await reader.cancel();
  });

  test.each([true, false])('ends the compute of a client that left; streamed: %s', async (stream) => {
    const controller = new AbortController();
    const id = `left-${stream}`;
    const answer = ask({ ...LONG, seed: 1, n: 8, stream }, { signal: controller.signal, headers: { 'x-request-id': id } });
    if (stream) await (await answer).body!.getReader().read();
    else await expect.poll(async () => (await inFlight()).toSorted()).toEqual([0, 1]);
    controller.abort();
    await answer.catch(() => undefined);
    await expect.poll(() => answered(id)).toContain('"status":499');
  });

  test('restarts one replica after the other under load, and no request notices', async () => {
    let over = false;
    const statuses: (number | string)[] = [];
    const client = async (stream: boolean) => {
      while (!over) {
        const response = await ask({ stream, max_tokens: 32 }).catch((error: Error) => error);
        if (response instanceof Error) statuses.push(String(response.cause ?? response));
        else {
          const body = await response.text().catch(String);
          statuses.push(!stream || body.endsWith('data: [DONE]\n\n') ? response.status : body);
        }
      }
    };
    const clients = [true, false, true, false].map(client);
    for (const [index, replica] of replicas.entries()) {
      replica.process.kill('SIGTERM');
      await expect.poll(() => replica.process.exitCode).toBe(0);
      replicas[index] = await startReplica(LEAVING, replica);
      await expect.poll(async () => (await haproxy.servers())[index]!.status).toBe('UP');
    }
    over = true;
    await Promise.all(clients);
    expect(statuses.length).toBeGreaterThan(50);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  test('loses with a killed replica nothing but the streams it had begun', async () => {
    const streams = [];
    for (let count = 0; count < 6; count += 1) {
      const response = await ask({ ...LONG, n: 8, stream: true });
      streams.push(response.text().then((body) => body.endsWith('data: [DONE]\n\n'), () => false));
    }
    const [begunOnIt = 0, begunElsewhere] = await inFlight();
    expect(begunOnIt).toBeGreaterThan(0);
    expect(begunElsewhere).toBeGreaterThan(0);
    const wholes = Array.from({ length: 6 }, () => ask({ max_tokens: 64 }));
    await expect.poll(async () => (await inFlight())[0]).toBeGreaterThan(begunOnIt);
    replicas[0]!.process.kill('SIGKILL');
    expect((await Promise.all(wholes)).map(({ status }) => status)).toEqual(wholes.map(() => 200));
    expect((await Promise.all(streams)).filter((whole) => !whole)).toHaveLength(begunOnIt);
    expect((await ask()).status).toBe(200);
  });
});
