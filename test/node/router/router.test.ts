import { describe, expect, test } from 'vitest';
import type { Piece } from '../../../functions/engine/types.js';
import { follow } from '../../../functions/router/follow.js';
import type { Decision } from '../../../functions/router/types.js';
import { recordSchema } from '../../../functions/schema/decision-log.js';
import { seededRandom } from '../../load/seeded.js';
import { poisson, routeRequest, serve, type Served, TIERS, virtualServer, warmAll } from './virtual-load.js';

const admitted = (served: readonly Served[]) => served.filter(({ answer }) => answer.kind === 'admitted');
const share = (served: readonly Served[], holds: (one: Served) => boolean) => served.filter(holds).length / served.length;
const inBudget = ({ request, actualMs }: Served) => (actualMs ?? Infinity) <= request.budgetMs + 10;
const whole = ({ result, request }: Served) => result?.completionBytes === request.maxBytes;
const isPromisedWhole = ({ answer }: Served) => answer.kind === 'admitted' && answer.reason !== 'truncates';
const tierOf = ({ answer }: Served) => (answer.kind === 'admitted' ? answer.placement.tier : answer.kind);
const relativeError = ({ answer, actualMs = 0 }: Served) => Math.abs((answer as Decision).expectedMs / actualMs - 1);
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function warmServer(machine: Parameters<typeof virtualServer>[0] = {}) {
  const server = virtualServer(machine);
  await warmAll(server);
  return server;
}

async function serveAlone(server: Awaited<ReturnType<typeof warmServer>>, fields: Omit<Parameters<typeof routeRequest>[0], 'arrivalMs'>): Promise<Served> {
  const answer = serve(server, routeRequest({ ...fields, arrivalMs: server.engine.nowMs() }));
  await server.engine.runUntil(Infinity);
  return answer;
}

describe('a warm, idle server', () => {
  test('gives a wider budget a larger tier, and keeps every one', async () => {
    const server = await warmServer();
    const served = [];
    for (const budgetMs of [30, 90, 800]) served.push(await serveAlone(server, { budgetMs }));
    expect(served.map(tierOf)).toEqual(['stlm-10m', 'stlm-50m', 'stlm-100m']);
    expect(served.every(inBudget) && served.every(whole)).toBe(true);
  });

  test('does so although the manifests were measured on a machine ten times slower, or faster', async () => {
    for (const seedFactor of [10, 0.1]) {
      const server = await warmServer({ seedFactor });
      expect(tierOf(await serveAlone(server, { budgetMs: 30 }))).toBe('stlm-10m');
      const wide = await serveAlone(server, { budgetMs: 800 });
      expect(tierOf(wide)).toBe('stlm-100m');
      expect(relativeError(wide)).toBeLessThan(0.15);
    }
  });

  test('cuts a text that no tier can finish at its deadline, on the smallest', async () => {
    const server = await warmServer();
    const served = await serveAlone(server, { budgetMs: 60, maxBytes: 4_000 });
    expect(served.answer).toMatchObject({ kind: 'admitted', placement: { tier: 'stlm-10m' }, reason: 'truncates' });
    expect(served.result?.stopCause).toBe('deadline');
    expect(served.result?.completionBytes).toBeGreaterThan(200);
    expect(inBudget(served)).toBe(true);
  });

  test('refuses a budget below a first patch and names one that it then accepts', async () => {
    const server = await warmServer();
    const refused = await serveAlone(server, { budgetMs: 1 });
    expect(refused.answer.kind).toBe('infeasible');
    const cheapestMs = refused.answer.kind === 'infeasible' ? refused.answer.cheapestMs : 0;
    expect((await serveAlone(server, { budgetMs: cheapestMs })).answer.kind).toBe('admitted');
  });

  test('bounds the first byte by its own budget', async () => {
    const server = await warmServer();
    const fields = { budgetMs: 3_000, promptBytes: 2_000 };
    expect(tierOf(await serveAlone(server, fields))).toBe('stlm-100m');
    expect(tierOf(await serveAlone(server, { ...fields, firstByteBudgetMs: 200 }))).toBe('stlm-10m');
    expect(tierOf(await serveAlone(server, { ...fields, firstByteBudgetMs: 5 }))).toBe('infeasible');
  });

  test('gives a tier a further copy when its warm worker is busy, and no more of them than it needs', async () => {
    const server = virtualServer({ workers: 4 });
    for (const worker of [0, 1, 2, 3]) void server.router.warm({ tier: 'stlm-10m', worker });
    void server.router.warm({ tier: 'stlm-100m', worker: 0 });
    await server.engine.runUntil(Infinity);
    const warmOn = () => [0, 1, 2, 3].filter((worker) => server.engine.isWarm({ tier: 'stlm-100m', worker })).length;
    // Alone they take 90 ms; both do not fit 150 one after the other.
    const serveAtOnce = async (count: number) => {
      const served = Array.from({ length: count }, () => serve(server, routeRequest({ budgetMs: 150, arrivalMs: server.engine.nowMs() })));
      await server.engine.runUntil(Infinity);
      return (await Promise.all(served)).map(tierOf);
    };
    for (let round = 0; round < 3; round += 1) expect(await serveAtOnce(1)).toEqual(['stlm-100m']);
    expect(warmOn()).toBe(1);
    expect(await serveAtOnce(2)).toEqual(['stlm-100m', 'stlm-10m']);
    for (let round = 0; round < 3; round += 1) expect(await serveAtOnce(2)).toEqual(['stlm-100m', 'stlm-100m']);
    expect(warmOn()).toBe(2);
  });

  test('does without a tier that finds no memory, and is refused one that is named, until it is warm somewhere', async () => {
    const server = virtualServer({ roomless: ['stlm-100m'] });
    for (const tier of ['stlm-10m', 'stlm-50m']) for (const worker of [0, 1]) await Promise.all([server.router.warm({ tier, worker }), server.engine.runUntil(Infinity)]);
    expect(tierOf(await serveAlone(server, { budgetMs: 800 }))).toBe('stlm-50m');
    expect(tierOf(await serveAlone(server, { budgetMs: 800, tier: 'stlm-100m' }))).toBe('unavailable');
    await Promise.all([server.router.warm({ tier: 'stlm-100m', worker: 1 }), server.engine.runUntil(Infinity)]);
    expect((await serveAlone(server, { budgetMs: 800 })).answer).toMatchObject({ placement: { tier: 'stlm-100m', worker: 1 } });
  });

  test('routes over the tiers that can do what is asked, and over no other', async () => {
    const server = await warmServer();
    const only = (...eligible: string[]) => serveAlone(server, { budgetMs: 800, eligible });
    expect(tierOf(await only('stlm-10m', 'stlm-50m'))).toBe('stlm-50m');
    expect(tierOf(await only('stlm-10m', 'stlm-100m'))).toBe('stlm-100m');
    expect((await only('stlm-10m')).answer).toMatchObject({ placement: { tier: 'stlm-10m' }, reason: 'fits', tiers: [{ tier: 'stlm-10m' }] });
    expect(tierOf(await only())).toBe('unavailable');
  });

  test('counts time already spent before routing', async () => {
    const server = await warmServer();
    const request = routeRequest({ budgetMs: 800, arrivalMs: server.engine.nowMs() - 740 });
    expect(server.router.explain(request)).toMatchObject({ kind: 'admitted', placement: { tier: 'stlm-10m' } });
  });

  test('explains without booking anything, and then does what it explained', async () => {
    const server = await warmServer();
    const request = routeRequest({ budgetMs: 100, arrivalMs: server.engine.nowMs() });
    const explained = server.router.explain(request);
    expect(server.router.explain(request)).toEqual(explained);
    expect(server.router.route(request)).toEqual(explained);
    expect(server.router.explain(request)).not.toEqual(explained);
  });

  test('records each decision with what it was made from, and what came of it', async () => {
    const server = await warmServer();
    await serveAlone(server, { budgetMs: 100, id: 'the-one' });
    const records = server.records.map((record) => recordSchema.parse(JSON.parse(JSON.stringify(record)))).filter(({ id }) => id === 'the-one');
    expect(records).toMatchObject([
      { event: 'decision', policy: 'budget-first', request: { budgetMs: 100 }, outcome: 'admitted', chosen: { tier: 'stlm-50m' }, tiers: TIERS.map(({ id }) => [{ tier: id, worker: 0 }, { tier: id, worker: 1 }]) },
      { event: 'outcome', tier: 'stlm-50m', result: { stopCause: 'length' } },
    ]);
  });

  test('runs what its policy says, and has no policy that nobody knows', async () => {
    const tierUnder = async (policy: string) => {
      const server = virtualServer({}, policy);
      await warmAll(server);
      return tierOf(await serveAlone(server, { budgetMs: 800 }));
    };
    expect(await tierUnder('budget-first')).toBe('stlm-100m');
    expect(await tierUnder('cost-first')).toBe('stlm-10m');
    expect(await tierUnder('fixed:stlm-50m')).toBe('stlm-50m');
    expect(() => virtualServer({}, 'luck-first')).toThrow(RangeError);
    const fixed = virtualServer({}, 'fixed:stlm-50m');
    await warmAll(fixed);
    expect(tierOf(await serveAlone(fixed, { budgetMs: 800, tier: 'stlm-100m' }))).toBe('stlm-100m');
  });
});

describe('a refusal under a policy of one tier', () => {
  test('names a budget that this tier can meet, whatever smaller ones could', async () => {
    const server = virtualServer({}, 'fixed:stlm-100m');
    await warmAll(server);
    const { answer } = await serveAlone(server, { budgetMs: 10, promptBytes: 400 });
    const cheapestMs = answer.kind === 'infeasible' ? answer.cheapestMs : 0;
    expect((await serveAlone(server, { budgetMs: cheapestMs, promptBytes: 400 })).answer.kind).toBe('admitted');
  });

  test('names a time after which this tier has room, whatever room others have', async () => {
    const server = virtualServer({ workers: 1 }, 'fixed:stlm-100m');
    await warmAll(server);
    const request = routeRequest({ budgetMs: 150, arrivalMs: server.engine.nowMs() });
    for (let n = 0; n < 2; n += 1) void serve(server, request);
    const refused = server.router.explain(request);
    const retryAfterMs = refused.kind === 'overloaded' ? refused.retryAfterMs : 0;
    await server.engine.runUntil(server.engine.nowMs() + retryAfterMs);
    expect(server.router.explain({ ...request, arrivalMs: server.engine.nowMs() }).kind).toBe('admitted');
  });
});

describe('a machine that was slow', () => {
  test('is found to be fast again although every request since was refused', async () => {
    let slow = false;
    const server = await warmServer({ slowdownAt: () => (slow ? 15 : 1) });
    slow = true;
    for (let n = 0; n < 30; n += 1) await serveAlone(server, { budgetMs: 2_000, tier: 'stlm-10m' });
    slow = false;
    const kinds: string[] = [];
    for (let n = 0; n < 60; n += 1) {
      const startMs = server.engine.nowMs();
      kinds.push((await serveAlone(server, { budgetMs: 20 })).answer.kind);
      await server.engine.runUntil(startMs + 500);
    }
    expect(kinds[0]).toBe('infeasible');
    expect(kinds.slice(-10)).toEqual(Array.from({ length: 10 }, () => 'admitted'));
  });
});

describe('a cold server', () => {
  test('answers from the warm smallest tier while a larger one warms, and from that one afterwards', async () => {
    const server = virtualServer();
    void server.router.warm({ tier: 'stlm-10m', worker: 0 });
    await server.engine.runUntil(Infinity);
    const first = await serveAlone(server, { budgetMs: 150 });
    expect(first.answer).toMatchObject({ placement: { tier: 'stlm-10m' }, reason: 'warming' });
    expect(inBudget(first)).toBe(true);
    expect(tierOf(await serveAlone(server, { budgetMs: 150 }))).toBe('stlm-100m');
  });

  test('loads within the budget when there is time for it', async () => {
    const server = virtualServer();
    const served = await serveAlone(server, { budgetMs: 2_000 });
    expect(served.answer).toMatchObject({ placement: { tier: 'stlm-100m' }, reason: 'fits' });
    expect(served.result?.timings.loadMs).toBeGreaterThan(200);
    expect(inBudget(served) && whole(served)).toBe(true);
  });

  test('says when to come back, loads meanwhile, and keeps its word', async () => {
    const server = virtualServer();
    const refused = server.router.route(routeRequest({ budgetMs: 40, arrivalMs: 0 }));
    expect(refused.kind).toBe('loading');
    await server.engine.runUntil(refused.kind === 'loading' ? refused.retryAfterMs + 40 : 0);
    expect((await serveAlone(server, { budgetMs: 40 })).answer.kind).toBe('admitted');
  });

  test('whose loads take far longer than the manifests say admits nothing that they would outlast', async () => {
    const server = virtualServer({ loadSlowdown: 100 });
    for (let worker = 0; worker < 2; worker += 1) void server.router.warm({ tier: 'stlm-10m', worker });
    await server.engine.runUntil(1_000);
    const refused = server.router.route(routeRequest({ budgetMs: 800, arrivalMs: 1_000 }));
    expect(refused).toMatchObject({ kind: 'loading' });
    expect(refused.kind === 'loading' && refused.retryAfterMs).toBeGreaterThan(500);
    await server.engine.runUntil(Infinity);
    expect((await serveAlone(server, { budgetMs: 30 })).answer.kind).toBe('admitted');
  });

  test('with a quarantined tier serves from the others, and refuses the one that is pinned', async () => {
    const server = await warmServer({ quarantined: ['stlm-100m'] });
    expect(tierOf(await serveAlone(server, { budgetMs: 2_000 }))).toBe('stlm-50m');
    expect(tierOf(await serveAlone(server, { budgetMs: 2_000, tier: 'stlm-100m' }))).toBe('unavailable');
  });
});

describe('under a mixed Poisson load', () => {
  test('every admitted request ends within its budget, and those promised their whole text get it', async () => {
    const server = await warmServer({ seedFactor: 3 });
    const served = await poisson(server, 12, 20_000, seededRandom(7));
    const inTime = admitted(served);
    const promised = inTime.filter(isPromisedWhole);
    expect(served.length).toBeGreaterThan(200);
    expect(share(inTime, inBudget)).toBeGreaterThanOrEqual(0.99);
    expect(share(promised, whole)).toBeGreaterThanOrEqual(0.95);
    expect(share(served, ({ answer }) => answer.kind === 'overloaded')).toBeLessThan(0.1);
    expect(median(inTime.map(relativeError))).toBeLessThan(0.15);
  });

  test('goodput at several times the load it can carry stays above nine tenths of its peak', async () => {
    const goodputAt = async (perSecond: number) => {
      const server = await warmServer();
      const served = await poisson(server, perSecond, 3_000, seededRandom(3));
      return served.filter((one) => inBudget(one) && whole(one)).reduce((bytes, { result }) => bytes + (result?.completionBytes ?? 0), 0);
    };
    const peak = Math.max(await goodputAt(30), await goodputAt(90));
    expect(await goodputAt(300)).toBeGreaterThan(0.9 * peak);
  });

  test('more load moves requests to smaller tiers before it turns many away', async () => {
    const shareOnLargest = async (perSecond: number) => share(await poisson(await warmServer(), perSecond, 8_000, seededRandom(5)), (one) => tierOf(one) === 'stlm-100m');
    expect(await shareOnLargest(5)).toBeGreaterThan(2 * (await shareOnLargest(40)));
    const busy = await poisson(await warmServer(), 20, 8_000, seededRandom(5));
    expect(share(busy, ({ answer }) => answer.kind === 'overloaded')).toBeLessThan(0.15);
  });

  test('a machine that turns twice as slow still keeps every admitted budget', async () => {
    let slowFromMs = Infinity;
    const server = await warmServer({ slowdownAt: (nowMs) => (nowMs >= slowFromMs ? 2 : 1) });
    slowFromMs = server.engine.nowMs() + 5_000;
    const served = await poisson(server, 8, 20_000, seededRandom(11));
    const late = admitted(served).filter(({ request }) => request.arrivalMs > slowFromMs + 3_000);
    expect(share(admitted(served), inBudget)).toBeGreaterThanOrEqual(0.99);
    expect(share(late.filter(isPromisedWhole), whole)).toBeGreaterThan(0.9);
    expect(median(late.map(relativeError))).toBeLessThan(0.2);
  });

  test('a machine that is twice as slow for a minute keeps its budgets in it, and is itself again after it', async () => {
    let slowFromMs = Infinity;
    const server = await warmServer({ slowdownAt: (nowMs) => (nowMs >= slowFromMs && nowMs < slowFromMs + 60_000 ? 2 : 1) });
    slowFromMs = server.engine.nowMs() + 20_000;
    const served = await poisson(server, 6, 110_000, seededRandom(17));
    const between = (fromMs: number, untilMs: number) => served.filter(({ request }) => request.arrivalMs >= slowFromMs + fromMs && request.arrivalMs < slowFromMs + untilMs);
    const before = between(-15_000, 0);
    const slow = between(3_000, 60_000);
    const after = between(65_000, 90_000);
    expect(share(admitted(between(-Infinity, Infinity)), inBudget)).toBeGreaterThanOrEqual(0.99);
    expect(share(admitted(slow).filter(isPromisedWhole), whole)).toBeGreaterThan(0.95);
    for (const span of [before, slow, after]) expect(median(admitted(span).map(relativeError))).toBeLessThan(0.15);
    const onLargest = (span: readonly Served[]) => share(span, (one) => tierOf(one) === 'stlm-100m');
    expect(onLargest(slow)).toBeLessThan(onLargest(before));
    expect(onLargest(after)).toBeGreaterThan(0.8 * onLargest(before));
  });

  test('about one answer in twenty takes longer than its p95, at any load', async () => {
    for (const perSecond of [5, 12, 20]) {
      const served = admitted(await poisson(await warmServer(), perSecond, 60_000, seededRandom(19)));
      const broken = share(served, ({ answer, actualMs }) => (actualMs ?? 0) > (answer as Decision).predictedMs);
      expect(broken).toBeGreaterThan(0.01);
      expect(broken).toBeLessThan(0.08);
    }
  });

  test('a retry after the time that a 429 names is mostly admitted', async () => {
    const server = await warmServer();
    const pending: Promise<Served>[] = [];
    const retried: string[] = [];
    for (let n = 0; n < 60; n += 1) {
      const request = routeRequest({ budgetMs: 120, maxBytes: 200, promptBytes: 400, arrivalMs: server.engine.nowMs() });
      const answer = server.router.explain(request);
      if (answer.kind === 'overloaded') {
        server.engine.at(server.engine.nowMs() + answer.retryAfterMs, () => {
          retried.push(server.router.explain({ ...request, arrivalMs: server.engine.nowMs() }).kind);
        });
      } else pending.push(serve(server, request));
    }
    await server.engine.runUntil(Infinity);
    await Promise.all(pending);
    expect(retried.length).toBeGreaterThan(10);
    expect(retried.filter((kind) => kind === 'admitted').length / retried.length).toBeGreaterThan(0.9);
  });
});

describe('bookings', () => {
  /** One worker, so that what is booked on it cannot hide behind another. */
  async function bookOne(generations: number) {
    const server = await warmServer({ workers: 1 });
    const request = routeRequest({ budgetMs: 3_000, maxBytes: 500, generations, arrivalMs: server.engine.nowMs() });
    const decision = server.router.route(request) as Decision;
    const isFree = () => server.router.explain({ ...request, arrivalMs: server.engine.nowMs() }).tiers.every(({ waitMs }) => waitMs === 0);
    expect(isFree()).toBe(false);
    return { server, decision, isFree };
  }

  test('are all given back: after any load the server is as free as before', async () => {
    const server = await warmServer({ workers: 1 });
    await poisson(server, 60, 5_000, seededRandom(13));
    const answer = server.router.explain(routeRequest({ budgetMs: 3_000, arrivalMs: server.engine.nowMs() }));
    expect(answer.tiers.map(({ waitMs }) => waitMs)).toEqual([0, 0, 0]);
  });

  test('are given back when the consumer leaves in the middle of the text, and the engine is told', async () => {
    const { server, decision, isFree } = await bookOne(1);
    let returned = false;
    async function* endless(): AsyncGenerator<Piece, never, void> {
      try {
        for (;;) yield { bytes: new Uint8Array(5) };
      } finally {
        returned = true;
      }
    }
    for await (const { bytes } of follow(server.router, decision, endless())) if (bytes.length > 0) break;
    expect(returned).toBe(true);
    expect(isFree()).toBe(true);
  });

  test('are given back when the engine throws', async () => {
    const { server, decision, isFree } = await bookOne(1);
    // oxlint-disable-next-line require-yield
    async function* broken(): AsyncGenerator<Piece, never, void> {
      throw new Error('worker died');
    }
    await expect(follow(server.router, decision, broken()).next()).rejects.toThrow('worker died');
    expect(isFree()).toBe(true);
  });

  test('of several generations end with the last', async () => {
    const { server, decision, isFree } = await bookOne(2);
    server.router.observe(decision, { kind: 'failed' });
    expect(isFree()).toBe(false);
    server.router.observe(decision, { kind: 'failed' });
    expect(isFree()).toBe(true);
  });
});
