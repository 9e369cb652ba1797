import { expect, test } from 'vitest';
import { brokenPages } from '../pages.js';
import { startServer } from '../server-process.js';

test('the built server has every page, and everything that they are made of', async () => {
  const server = await startServer();
  expect(await brokenPages(server.url)).toEqual([]);
  expect(await server.stop()).toBe(0);
});
