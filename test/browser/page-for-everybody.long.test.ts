// The page at / for whoever has a key, a keyboard, a screen reader, a small or a large screen, or a proxy in between.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { missing } from '../programs.js';
import { cottage, startApp } from '../start.js';
import { browse, copied, download, drop, make, ready } from './browser.js';

const skip = missing('chromium');

t.test('where the server wants a key', { skip }, async (t) => {
  const { url } = await startApp(t, { API_KEYS: 'sesame' });
  await browse(t, 'the page asks for it and keeps it for the tab', url, async (t, page) => {
    const dialog = page.locator('#key-dialog');
    const use = async (key: string) => {
      await page.getByLabel('API key').fill(key);
      await page.keyboard.press('Enter');
    };
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await page.locator('#error').waitFor();
    t.match(
      await page.textContent('#error'),
      /^This server wants a key/,
      'without one nothing works, and that is said',
    );
    await page.click('#make');
    await dialog.waitFor();
    await use('open');
    await dialog.getByText('The key was refused.').waitFor();
    await use('sesame');
    await ready(page);
    await page.locator('#status', { hasText: /in [\d.]+ s\.$/ }).waitFor({ timeout: 60_000 });
    t.pass('what was pressed goes on');
    t.equal(await page.evaluate('sessionStorage.getItem("img2img-key")'), 'sesame');
    t.equal(await page.evaluate('localStorage.length + document.cookie.length'), 0, 'it is kept nowhere else');

    await drop(page, cottage, 'cottage.png', 'image/png');
    await make(page);
    const { name, bytes } = await download(page);
    for (const language of ['curl', 'javascript', 'python'] as const) {
      const text = await copied(page, language);
      t.match(text, '$KEY', `${language} reads it from the environment`);
      t.notMatch(text, 'sesame', `and does not tell it`);
    }
    const cwd = t.testdir({ 'cottage.png': cottage });
    const command = await copied(page, 'curl');
    await promisify(execFile)('sh', ['-c', command], { cwd, env: { ...process.env, KEY: 'sesame' } });
    t.ok(bytes.equals(readFileSync(join(cwd, name))), 'the copied command makes the same picture');
    await page.reload();
    await ready(page);
    t.ok(await dialog.isHidden(), 'the tab still has it');
  });
});

/** Tabs until this element has the focus, as somebody without a mouse does. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < 150; presses++) {
    if (await page.evaluate<boolean>(`document.activeElement?.matches(${JSON.stringify(selector)}) ?? false`)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not reach ${selector}`);
}

async function seriousFaults(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 80)).join(', ')}`);
}

const sideways = (page: Page) =>
  page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');

t.test('without a key', { skip }, async (t) => {
  const { url } = await startApp(t);

  await browse(t, 'the keyboard alone is enough', url, async (t, page) => {
    const keys = async (...pressed: string[]) => {
      for (const key of pressed) await page.keyboard.press(key);
    };
    await ready(page);
    await tabTo(page, '[name=starter]');
    await keys('ArrowRight');
    t.equal(await page.evaluate('document.activeElement.value'), 'cottage.webp', 'a starter');
    await tabTo(page, '#file');
    await tabTo(page, '#prompt');
    await keys('Control+A', 'Delete');
    await tabTo(page, '#groups input');
    await keys('ArrowRight', 'ArrowLeft');
    await tabTo(page, '#chips button');
    await keys('Space');
    t.equal(await page.inputValue('#prompt'), 'comic', 'a word');
    await tabTo(page, '#influence');
    await keys('ArrowRight', 'ArrowRight');
    t.equal(await page.textContent('#influence-value'), '62 %');
    await tabTo(page, '#lock');
    await keys('Space');
    await tabTo(page, '#more summary');
    await keys('Enter');
    await tabTo(page, '#steps');
    await page.keyboard.type('3');
    await tabTo(page, '#make');
    await keys('Enter');
    await page.locator('#status', { hasText: /in [\d.]+ s\.$/ }).waitFor({ timeout: 60_000 });
    t.match(await page.textContent('#caption'), /comic · influence 62 .* 3 steps/);
    await tabTo(page, '#split');
    await keys('ArrowRight', 'ArrowRight');
    t.match(await page.getAttribute('#split', 'aria-valuetext'), '51 percent starter');
    await tabTo(page, '#download');
    const { bytes } = await download(page, () => keys('Enter'));
    t.ok(bytes.length > 1000);
    await tabTo(page, '[data-copy=curl]');
    await keys('Enter');
    t.match(await page.evaluate('navigator.clipboard.readText()'), /influence=62/);
    await tabTo(page, '#prompt');
    await keys('Control+Enter', 'Escape');
    await page.locator('#status', { hasText: /Cancelled|in [\d.]+ s/ }).waitFor({ timeout: 60_000 });
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    await browse(
      t,
      `axe-core finds nothing serious: ${colorScheme}`,
      url,
      async (t, page) => {
        await ready(page);
        t.strictSame(await seriousFaults(page), [], 'at the start');
        await page.click('#more summary');
        await page.fill('#prompt', 'dragon');
        await make(page);
        t.strictSame(await seriousFaults(page), [], 'with a picture');
        await page.fill('#n', '99');
        await page.fill('#x_values', '50');
        await page.click('#sweep');
        await page.locator('#sheet').waitFor({ timeout: 60_000 });
        await page.click('#make');
        await page.locator('#error-n').waitFor();
        t.strictSame(await seriousFaults(page), [], 'with a sheet and an error');
        await page.evaluate("document.getElementById('key-dialog').showModal()");
        t.strictSame(await seriousFaults(page), [], 'with the dialog for the key');
      },
      { colorScheme },
    );
  }

  for (const width of [360, 800, 1600]) {
    await browse(
      t,
      `nothing scrolls sideways at ${width} pixels`,
      url,
      async (t, page) => {
        await ready(page);
        t.equal(await sideways(page), 0, 'at the start');
        await page.click('#more summary');
        await page.fill('#prompt', `comic, ${'verylongword'.repeat(12)}`);
        await make(page);
        t.equal(await sideways(page), 0, 'with a picture');
        await page.click('#sweep');
        await page.locator('#sheet').waitFor({ timeout: 120_000 });
        t.equal(await sideways(page), 0, 'with a sheet');
        const path = process.env.SCREENSHOT;
        if (path) await page.screenshot({ path: `${path}-${width}.png`, fullPage: true });
      },
      { viewport: { width, height: 800 } },
    );
  }

  const { address, paths } = await behindPrefix(t, url, '/service/');
  await browse(t, 'it works behind a path prefix', `${address}/service/`, async (t, page) => {
    await ready(page);
    await make(page);
    t.match(await copied(page, 'curl'), `${address}/service/img2img`);
    t.strictSame(
      paths.filter((path) => !path.startsWith('/service/')),
      [],
      'every address is relative',
    );
    t.ok(paths.includes('/service/img2img'));
    t.equal(await page.evaluate("document.querySelector('nav a').href"), `${address}/service/docs`);
  });
  await browse(t, 'so does the console', `${address}/service/docs`, async (t, page) => {
    const operation = page.locator('.opblock', { hasText: '/livez' }).first();
    await operation.locator('.opblock-summary-control').click();
    await operation.locator('button.execute').click();
    await operation.locator('.live-responses-table .response').first().waitFor();
    t.ok(paths.includes('/service/livez'));
    t.strictSame(
      paths.filter((path) => !path.startsWith('/service/')),
      [],
      'every address is relative',
    );
  });
});

/** A proxy that shows the server below a prefix. */
async function behindPrefix(t: Test, url: string, prefix: string) {
  const paths: string[] = [];
  const proxy = createServer((from, to) => {
    const path = from.url ?? '';
    paths.push(path);
    const target = new URL(path.startsWith(prefix) ? path.slice(prefix.length - 1) : '/outside', url);
    const onward = request(target, { method: from.method, headers: from.headers }, (answer) => {
      to.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(to);
    });
    onward.on('error', () => to.destroy());
    from.pipe(onward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { address: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, paths };
}
