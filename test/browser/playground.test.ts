/** The page at `/` in a real browser, against the built server with the committed tiers. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sha256Hex } from '../../functions/access/keys.js';
import { type ServerProcess, startServer } from '../server-process.js';
import { chromiumPath, launch } from './chromium.js';

const path = chromiumPath();

describe.skipIf(path === undefined)('the playground (skipped without a browser: install chromium, or set CHROMIUM_PATH)', () => {
  let server: ServerProcess;
  let browser: Browser;
  let page: Page;
  /** What the page complained of, and where it went. */
  let faults: string[];
  beforeAll(async () => {
    server = await startServer({ STLM_ARTIFACTS: 'model-core/artifacts' });
    browser = await launch(path!);
  });
  afterAll(async () => {
    await browser.close();
    await server.stop();
  });
  beforeEach(async () => {
    faults = [];
    page = await browser.newPage({ colorScheme: 'light' });
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:')) faults.push(`asked ${request.url()}`);
    });
    await page.goto(server.url);
    await page.locator('#model option').nth(1).waitFor({ state: 'attached' });
  });
  afterEach(async () => {
    await page.close();
    if (faults.length > 0) throw new Error(faults.join('\n'));
  });

  const textOf = () => page.locator('#text').inputValue();
  const setBudget = (position: number) =>
    page.locator('#budget').evaluate((input: { value: string; dispatchEvent: (event: Event) => boolean }, value) => {
      input.value = String(value);
      input.dispatchEvent(new Event('input'));
    }, position);

  test('offers the route and every tier', async () => {
    expect(await page.locator('#model option').allTextContents()).toEqual(['stlm-auto', 'stlm-10m', 'stlm-50m', 'stlm-100m']);
  });

  test('suggests words while one types, and Tab takes them', async () => {
    // A busy machine may have no time for one suggestion; the next key asks again.
    await expect
      .poll(async () => {
        await page.locator('#text').fill('The king and the ');
        await page.waitForTimeout(300);
        return page.locator('#mirror mark').textContent();
      })
      .not.toBe('');
    const suggested = await page.locator('#mirror mark').textContent();
    await page.locator('#text').press('Tab');
    expect(await textOf()).toBe(`The king and the ${suggested}`);
  });

  test('writes on inside the budget, and says what was promised and what came of it', async () => {
    await page.locator('#typeahead').uncheck();
    await setBudget(1);
    await page.locator('#text').fill('Once upon a time ');
    await page.locator('#text').press('Control+Enter');
    await expect.poll(() => page.locator('#last .badge').textContent({ timeout: 20_000 })).toMatch(/^stlm-/);
    expect((await textOf()).length).toBeGreaterThan('Once upon a time '.length);
    expect(await page.locator('#last .title').textContent()).toMatch(/ of 5\.00 s, at most .* predicted/);
    expect(await page.locator('#last .timeline rect').count()).toBe(5);
    expect(await page.locator('#histogram rect').count()).toBeGreaterThan(0);
    expect(await page.locator('#figures').textContent()).toContain('inside their budget100.0 %');
  });

  test('shows a refusal in words', async () => {
    await page.locator('#bytes').fill('5000');
    await page.locator('#write').click();
    await expect.poll(() => page.locator('#last .error').textContent({ timeout: 20_000 })).toContain('max_tokens');
  });

  test('stops at Escape', async () => {
    await setBudget(1);
    await page.locator('#bytes').fill('4096');
    await page.locator('#text').press('Control+Enter');
    await expect.poll(() => page.locator('#write').textContent()).toBe('Stop');
    await page.locator('#text').press('Escape');
    await expect.poll(() => page.locator('#last').textContent()).toBe('Stopped.');
    await expect.poll(() => server.output.some((line) => line.includes('"status":499'))).toBe(true);
  });

  test('asks every tier the same, side by side', async () => {
    await setBudget(1);
    await page.locator('#bytes').fill('24');
    await page.locator('#compare').click();
    await expect.poll(() => page.locator('#tiers .badge').allTextContents()).toEqual(['stlm-10m', 'stlm-50m', 'stlm-100m']);
    for (const words of await page.locator('#tiers pre').allTextContents()) expect(words).not.toBe('');
  });

  test('asks for a key where the server wants one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stlm-keys-'));
    await writeFile(join(folder, 'keys.json'), JSON.stringify({ keys: [{ name: 'web', sha256: await sha256Hex('secret') }] }));
    const guarded = await startServer({ STLM_KEYS: join(folder, 'keys.json') });
    try {
      await page.goto(guarded.url);
      await page.locator('#key').fill('secret');
      await page.locator('#key').press('Enter');
      await expect.poll(() => page.locator('#model option').allTextContents()).toEqual(['stlm-auto', 'stlm-tiny']);
      expect(await page.locator('#login').isVisible()).toBe(false);
    } finally {
      // The page went elsewhere on purpose.
      faults = [];
      await guarded.stop();
      await rm(folder, { recursive: true });
    }
  });

  test('turns from light to dark', async () => {
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const light = await ground();
    await page.locator('#theme').click();
    expect(await ground()).not.toBe(light);
  });
});
