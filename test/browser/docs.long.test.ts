import { chromium } from 'playwright-core';
import t from 'tap';
import { missing } from '../programs.js';
import { startApp } from '../start.js';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

t.test('the console at /docs: choose a picture, execute, see the result', { skip: missing('chromium') }, async (t) => {
  const { url } = await startApp(t);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  t.teardown(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } });
  const failures: string[] = [];
  page.on('requestfailed', (request) => failures.push(request.url()));
  page.on('console', (message) => message.type() === 'error' && failures.push(message.text()));
  const hosts = new Set<string>();
  page.on('request', (request) => hosts.add(new URL(request.url()).host));

  await page.goto(`${url}/docs`);
  const operation = page.locator('.opblock', { hasText: '/img2img' }).first();
  await operation.locator('.opblock-summary-control').click();
  await operation
    .locator('tr', { hasText: 'The starter picture' })
    .locator('input[type=file]')
    .setInputFiles('docs/pictures/cottage.png');
  await operation
    .locator('tr', { hasText: 'negative_prompt' })
    .first()
    .locator('input, textarea')
    .first()
    .fill('blurry');
  await operation.locator('button.execute').click();

  const picture = operation.locator('.live-responses-table img').first();
  await picture.waitFor({ state: 'visible', timeout: 30_000 });
  const width = await picture.evaluate(async (img) => {
    const element = img as unknown as { decode(): Promise<void>; naturalWidth: number };
    await element.decode();
    return element.naturalWidth;
  });
  t.equal(width, 256, 'the answer is shown as a picture');
  t.match(await operation.locator('.opblock-description').textContent(), /influence/);
  t.match(await page.locator('.info a', { hasText: 'The page' }).getAttribute('href'), '../', 'a link to the page');

  const sheet = page.locator('.opblock', { hasText: '/img2img/sheet' }).first();
  await sheet.locator('.opblock-summary-control').click();
  await sheet.locator('input[type=file]').first().setInputFiles('docs/pictures/cottage.png');
  await sheet.locator('tr', { hasText: 'x_field' }).first().locator('select').selectOption('influence');
  await sheet.locator('tr', { hasText: 'x_values' }).first().locator('input, textarea').first().fill('0|50');
  await sheet.locator('button.execute').click();
  const contact = sheet.locator('.live-responses-table img').first();
  await contact.waitFor({ state: 'visible', timeout: 60_000 });
  t.pass('the contact sheet is shown as a picture');

  t.strictSame(
    [...hosts].filter((host) => host !== '' && host !== new URL(url).host),
    [],
    'nothing is loaded from elsewhere',
  );
  t.strictSame(failures, []);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true });
});

t.test('the JSON body of the console is a true one, and errors are said', { skip: missing('chromium') }, async (t) => {
  const { url } = await startApp(t);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  t.teardown(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } });
  await page.goto(`${url}/docs`);
  const operation = page.locator('.opblock', { hasText: '/img2img' }).first();
  await operation.locator('.opblock-summary-control').click();
  await operation.locator('.body-param-content-type select').selectOption('application/json');
  const body = operation.locator('.body-param textarea');
  t.match(JSON.parse(await body.inputValue()), { image: /^data:image/, prompt: 'comic' }, 'a true JSON body');
  t.equal(Object.keys(JSON.parse(await body.inputValue())).length, 4, 'with nothing made up');
  await operation.locator('button.execute').click();
  const answer = operation.locator('.live-responses-table tbody .response-col_status').first();
  await answer.getByText('200').waitFor({ timeout: 60_000 });
  await body.fill('{"image": "", "seed": -5}');
  await operation.locator('button.execute').click();
  await operation.locator('.live-responses-table', { hasText: 'seed is -5; it must be at least -1.' }).waitFor();
  t.pass('what is wrong is said in the answer');
});
