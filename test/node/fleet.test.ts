/** Several servers behind a real HAProxy, configured as `deploy/haproxy/` has it. */
import { spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Haproxy, startHaproxy, TEMPLATE } from '../fleet/haproxy.js';
import { lacks } from '../fleet/program.js';
import { type Replica, startReplica } from '../fleet/replica.js';

const leftOut = lacks('haproxy');
/** Twice what the template's agent and health checks take to notice, at least. */
const LEAVING = { STLM_DRAIN_DELAY_S: '2' };
/** Seconds of work: a seed keeps texts from sharing runs. */
const LONG = { prompt: ['One', 'Two', 'Three'], max_tokens: 4_096, seed: 1 };

test.skipIf(leftOut)('the configuration to deploy is one that HAProxy accepts without a warning', () => {
  const { status, stderr, stdout } = spawnSync('haproxy', ['-c', '-f', TEMPLATE], { encoding: 'utf8' });
  expect({ status, said: (stdout + stderr).trim() }).toEqual({ status: 0, said: 'Configuration file is valid' });
});

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

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
      body: JSON.stringify({ model: 'stlm-auto', latency_budget_ms: 60_000, ...LONG }),
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
    const answer = ask({ ...LONG, stream }, { signal: controller.signal, headers: { 'x-request-id': id } });
    await expect.poll(async () => sum(await inFlight())).toBe(1);
    if (stream) await (await answer).body!.getReader().read();
    controller.abort();
    await answer.catch(() => undefined);
    await expect.poll(() => answered(id)).toContain('"status":499');
  });

  test('restarts one replica after the other under load, and no request notices', async () => {
    const over = new AbortController();
    const statuses: (number | string)[] = [];
    const client = async (stream: boolean) => {
      while (!over.signal.aborted) {
        const response = await ask({ stream, max_tokens: 32 }).catch((error: Error) => error);
        if (response instanceof Error) statuses.push(String(response.cause ?? response));
        else {
          const body = await response.text().catch(String);
          statuses.push(!stream || body.endsWith('data: [DONE]\n\n') ? response.status : body);
        }
      }
    };
    const clients = [true, false, true, false].map(client);
    /** So many that some were asked after this. */
    const goesOn = async () => {
      const { length } = statuses;
      await expect.poll(() => statuses.length).toBeGreaterThan(length + clients.length);
    };
    for (const [index, replica] of replicas.entries()) {
      await goesOn();
      replica.process.kill('SIGTERM');
      await goesOn();
      await expect.poll(() => replica.process.exitCode).toBe(0);
      replicas[index] = await startReplica(LEAVING, replica);
      await expect.poll(async () => (await haproxy.servers())[index]!.status).toBe('UP');
    }
    await goesOn();
    over.abort();
    await Promise.all(clients);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  test('loses with a killed replica the streams it had begun, and makes up elsewhere for all that it had not begun to answer', async () => {
    const isWhole = async (response: Response) => (await response.text().catch(() => '')).endsWith('data: [DONE]\n\n');
    const begun = [await ask({ ...LONG, stream: true }), await ask({ ...LONG, stream: true })].map(isWhole);
    expect(await inFlight()).toEqual([1, 1]);
    // Later deadlines: these wait for the long texts, on either replica.
    const waiting = Array.from({ length: 6 }, (_, index) => ask({ stream: index % 2 === 0 }));
    await expect.poll(async () => sum(await inFlight()), { interval: 20 }).toBe(8);
    const [onFirst = 0, onSecond = 0] = await inFlight();
    replicas[onFirst > onSecond ? 0 : 1]!.process.kill('SIGKILL');
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(waiting.map(() => 200));
    expect((await Promise.all(begun)).toSorted()).toEqual([false, true]);
    expect((await ask()).status).toBe(200);
  });
});
