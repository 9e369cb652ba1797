import { expect, test } from 'vitest';
import { routeRequest, serve, virtualServer, warmAll } from './virtual-load.js';

test('slack is all there when nothing is promised, falls with what is, and comes back when it is done', async () => {
  const server = virtualServer({ workers: 2 });
  await warmAll(server);
  expect(server.router.slack()).toBe(1);

  const now = server.engine.nowMs();
  const long = routeRequest({ arrivalMs: now, budgetMs: 60_000, tier: 'stlm-100m', maxBytes: 4_000 });
  const texts = [serve(server, long)];
  expect(server.router.slack()).toBeCloseTo(0.5, 1);
  texts.push(serve(server, long));
  expect(server.router.slack()).toBeCloseTo(0, 1);

  await server.engine.runUntil(Infinity);
  await Promise.all(texts);
  expect(server.router.slack()).toBe(1);
});

test('a worker that loads is as good as promised', async () => {
  const server = virtualServer({ workers: 1 });
  void server.router.warm({ tier: 'stlm-100m', worker: 0 });
  const whileLoading = server.router.slack();
  expect(whileLoading).toBeLessThan(0.9);
  expect(whileLoading).toBeGreaterThan(0);
  await server.engine.runUntil(Infinity);
  expect(server.router.slack()).toBe(1);
});
