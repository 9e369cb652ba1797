/** The page at `/docs` in a real browser, against the built server, without a network. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ServerProcess, startServer } from '../server-process.js';
import { chromiumPath, launch } from './chromium.js';

const path = chromiumPath();

describe.skipIf(path === undefined)('the docs (skipped without a browser: install chromium, or set CHROMIUM_PATH)', () => {
  let server: ServerProcess;
  let browser: Browser;
  let page: Page;
  /** What the page complained of, and whom else it asked. */
  let faults: string[];
  beforeAll(async () => {
    server = await startServer();
    browser = await launch(path!);
  });
  afterAll(async () => {
    await browser.close();
    await server.stop();
  });
  beforeEach(async () => {
    faults = [];
    page = await open('light');
  });
  afterEach(async () => {
    await page.close();
    if (faults.length > 0) throw new Error(faults.join('\n'));
  });

  /** Everything that does not come from the server fails, as it does offline. */
  async function open(colorScheme: 'light' | 'dark'): Promise<Page> {
    const opened = await browser.newPage({ colorScheme });
    opened.on('pageerror', (error) => faults.push(error.message));
    await opened.route('**/*', async (route) => {
      const url = route.request().url();
      if (url.startsWith(server.url) || /^(?:data|blob):/.test(url)) return route.continue();
      faults.push(`asked ${url}`);
      return route.abort('internetdisconnected');
    });
    return opened;
  }

  test('shows a guide for each client and every endpoint of the running server', async () => {
    await page.goto(`${server.url}/docs`);
    const sidebar = page.locator('aside, nav').first();
    for (const entry of ['curl', 'openai', 'AI SDK', 'LangChain', 'lm-eval', 'stlm/client', 'Text', 'Tiers', 'Server']) {
      await sidebar.getByText(entry, { exact: true }).first().waitFor();
    }
    await page.goto(`${server.url}/docs#tag/text`);
    await expect.poll(() => page.getByText('/v1/chat/completions').count()).toBeGreaterThan(0);
  });

  test('has an address for each guide, whose code is for this server', async () => {
    await page.goto(`${server.url}/docs/openai`);
    expect(page.url()).toBe(`${server.url}/docs#tag/openai`);
    await expect.poll(() => page.locator('pre', { hasText: 'import OpenAI' }).first().textContent()).toContain(`baseURL: '${server.url}/v1'`);
  });

  test('sends a request from the page, and shows its answer', async () => {
    await page.goto(`${server.url}/docs#tag/tiers/GET/v1/models`);
    await page.getByRole('button', { name: /Test Request/ }).first().click();
    await page.getByRole('button', { name: /^Send/ }).first().click();
    await expect.poll(() => page.locator('body').textContent()).toContain('stlm-tiny');
  });

  test('is light or dark as its reader likes it', async () => {
    const ground = async (one: Page) => {
      await one.goto(`${server.url}/docs`);
      await one.getByText('LangChain', { exact: true }).first().waitFor();
      return one.evaluate('getComputedStyle(document.body).backgroundColor');
    };
    const dark = await open('dark');
    expect(await ground(page)).not.toBe(await ground(dark));
    await dark.close();
  });
});
