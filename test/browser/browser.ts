// A headless Chromium, and what must hold for every page that it shows.

import { type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { Test } from 'tap';

/**
 * A subtest on a page of its own. It fails for errors, for what the page's policy forbids, and for requests to other hosts.
 * @param url of the page, which waits for its models where it is ours
 */
export async function browse(
  t: Test,
  name: string,
  url: string,
  work: (t: Test, page: Page) => Promise<void>,
  options: BrowserContextOptions = {},
): Promise<void> {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  await t.test(name, async (t) => {
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
    t.teardown(() => browser.close());
    const context = await browser.newContext({ viewport: { width: 1280, height: 1000 }, ...options });
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await context.newPage();
    const complaints: string[] = [];
    await page.addInitScript(
      "addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective, e.blockedURI))",
    );
    page.on('pageerror', (error) => complaints.push(error.message));
    // What the server refuses is shown on the page, and Chromium tells the console too.
    page.on('console', (message) => {
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) complaints.push(message.text());
    });
    page.on('request', (request) => {
      const address = request.url();
      if (address.startsWith('http') && !address.startsWith(new URL(url).origin)) complaints.push(address);
    });
    await page.goto(url);
    await work(t, page);
    t.strictSame(complaints, [], 'no errors, nothing forbidden, nothing from elsewhere');
  });
}

/** Waits for the page to know its models. */
export async function ready(page: Page): Promise<void> {
  await page.locator('#chips button').first().waitFor();
}

/** Presses Make and waits for what comes of it. */
export async function make(page: Page): Promise<void> {
  await page.click('#make');
  await page.locator('#status', { hasText: /in [\d.]+ s\.$/ }).waitFor({ timeout: 120_000 });
}

/** An expression for what a drag or a clipboard brings: one file. */
export const dataTransfer = (bytes: Buffer, name: string, type: string) => `(() => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob('${bytes.toString('base64')}'), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], ${JSON.stringify(name)}, { type: '${type}' }));
    return data;
  })()`;

/** Drops a file on the picture. */
export async function drop(page: Page, bytes: Buffer, name: string, type: string): Promise<void> {
  await page.dispatchEvent('#frame', 'drop', {
    dataTransfer: await page.evaluateHandle(dataTransfer(bytes, name, type)),
  });
  await page.locator('#status', { hasText: `The starter is ${name}` }).waitFor();
}

/** The bytes that the download link gives, and the name that it has for them. */
export async function download(page: Page, press = () => page.click('#download')) {
  const [event] = await Promise.all([page.waitForEvent('download'), press()]);
  const parts: Buffer[] = [];
  for await (const part of await event.createReadStream()) parts.push(part as Buffer);
  return { name: event.suggestedFilename(), bytes: Buffer.concat(parts) };
}

/** What a copy button puts into the clipboard. */
export async function copied(page: Page, language: 'curl' | 'javascript' | 'python'): Promise<string> {
  const button = page.locator(`[data-copy=${language}]`);
  await button.click();
  await button.getByText('Copied').waitFor();
  return page.evaluate<string>('navigator.clipboard.readText()');
}
