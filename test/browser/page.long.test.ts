// The page at /, driven as people do: from a picture of one's own to the one that is downloaded, and what can come in between.

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { writeCheckpointFolder } from '../pipeline/checkpoints.js';
import { writeLora } from '../pipeline/lora/loras.js';
import { missing } from '../programs.js';
import { cottage, form, startApp } from '../start.js';
import { browse, copied, dataTransfer, download, drop, make, ready } from './browser.js';

const run = promisify(execFile);
const python = missing({ program: 'python3', package: 'python3' });

t.test('the page', { skip: missing('chromium') }, async (t) => {
  const { url } = await startApp(t);

  await browse(
    t,
    'from a dropped file to the downloaded picture, and to the commands that make it again',
    url,
    async (t, page) => {
      await ready(page);
      await page.evaluate(`{
      window.said = [];
      window.previews = 0;
      new MutationObserver(() => said.push(document.getElementById('doing').textContent))
        .observe(document.getElementById('doing'), { childList: true });
      new MutationObserver(() => { if (document.getElementById('after').src.startsWith('data:')) previews++; })
        .observe(document.getElementById('after'), { attributes: true });
    }`);
      await drop(page, cottage, "my cottage's.png", 'image/png');
      await page.getByRole('button', { name: 'comic', exact: true }).click();
      t.equal(await page.inputValue('#prompt'), '', 'a chip takes its word out');
      for (const chip of ['ink drawing', 'comic']) await page.getByRole('button', { name: chip, exact: true }).click();
      t.equal(await page.inputValue('#prompt'), 'ink drawing, comic', 'and puts it in');
      await page.selectOption('#model', 'paintbox');
      await page.fill('#negative_prompt', "it's blurry");
      await page.getByRole('button', { name: '25 its rough shapes too' }).click();
      await make(page);

      const said = await page.evaluate<string[]>('said');
      t.match(said.join('\n'), /^Step \d+ of 18/m, 'each step is told');
      t.match(said.join('\n'), /Step \d+ of 18 · .* left/, 'and how long it may take');
      t.ok((await page.evaluate<number>('previews')) > 0, 'previews are shown');
      const seed = Number(await page.inputValue('#seed'));
      t.match(await page.textContent('#caption'), `ink drawing, comic · influence 25 · guidance 7.5 · seed ${seed}`);

      const { name, bytes } = await download(page);
      t.equal(name, `ink-drawing-comic-${seed}.png`);
      const fields = { prompt: 'ink drawing, comic', negative_prompt: "it's blurry", influence: 25, guidance: 7.5 };
      const body = form(cottage, { ...fields, seed, model: 'paintbox' });
      const answer = await fetch(`${url}/img2img`, { method: 'POST', body });
      t.ok(bytes.equals(Buffer.from(await answer.arrayBuffer())), 'what is downloaded is what the API answers');

      const folder = t.testdir({ "my cottage's.png": cottage });
      const again = async (language: string, program: string, args: readonly string[]) => {
        await run(program, args, { cwd: folder });
        t.ok(bytes.equals(readFileSync(join(folder, name))), `the copied ${language} makes the same picture`);
        writeFileSync(join(folder, name), '');
      };
      await again('curl', 'sh', ['-c', await copied(page, 'curl')]);
      writeFileSync(join(folder, 'program.mjs'), await copied(page, 'javascript'));
      await again('JavaScript', process.execPath, ['program.mjs']);
      const script = await copied(page, 'python');
      if (!python) await again('Python', 'python3', ['-c', script]);

      await make(page);
      t.not(Number(await page.inputValue('#seed')), seed, 'another press draws another seed');
      t.equal(await page.locator('#strip button').count(), 2, 'the strip has both');
      await page.locator('#strip button').last().click();
      t.ok((await download(page)).bytes.equals(bytes), 'and brings the first one back');
      await page.fill('#prompt', 'neon');
      await page.click('#adopt');
      t.equal(await page.inputValue('#prompt'), 'ink drawing, comic', 'with its settings');
      await make(page);
      t.ok((await download(page)).bytes.equals(bytes), 'whose seed is kept');
      await page.click('#reuse');
      await page.locator('#result').waitFor({ state: 'hidden' });
      t.match(await page.textContent('#status'), `The starter is ${name}`, 'a picture can be the next starter');
    },
  );

  await browse(t, 'a picture is chosen, photographed or pasted, too', url, async (t, page) => {
    await ready(page);
    const status = (name: string) => page.locator('#status', { hasText: `The starter is ${name}` });
    for (const id of ['file', 'camera']) {
      await page.setInputFiles(`#${id}`, { name: `${id}.png`, mimeType: 'image/png', buffer: cottage });
      await status(`${id}.png`).waitFor();
    }
    t.equal(await page.getAttribute('#camera', 'capture'), 'environment');
    const clipboardData = dataTransfer(cottage, 'pasted.png', 'image/png');
    await page.evaluate(`document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: ${clipboardData} }))`);
    await status('pasted.png').waitFor();
    await make(page);
    t.ok((await download(page)).bytes.length > 1000);
  });

  await browse(t, 'whether a model takes a negative prompt stands beside it', url, async (t, page) => {
    await ready(page);
    const means = page.locator('#negative-means');
    t.equal(await means.textContent(), 'this model takes none', 'the one of few steps, which is offered first');
    await page.selectOption('#model', 'paintbox');
    t.equal(await means.textContent(), 'what to move away from');
  });

  await browse(t, 'several pictures of one press each have their own seed', url, async (t, page) => {
    await ready(page);
    await page.click('#more summary');
    await page.fill('#n', '2');
    await make(page);
    t.equal(await page.locator('#strip button').count(), 2);
    const seed = Number(await page.inputValue('#seed'));
    t.match(await copied(page, 'curl'), `seed=${seed + 1}`);
    t.notMatch(await copied(page, 'curl'), 'n=2');
  });

  await browse(t, 'what is made can be cancelled', url, async (t, page) => {
    await ready(page);
    await page.selectOption('#model', 'paintbox');
    await page.selectOption('#size', 'width=512');
    await page.click('#more summary');
    await page.fill('#steps', '150');
    await page.click('#make');
    await page.locator('#doing', { hasText: 'Step' }).waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.locator('#status', { hasText: 'Cancelled.' }).waitFor();
    t.ok(await page.locator('#progress').isHidden());
    t.ok(await page.locator('#result').isHidden(), 'there is no result');
    t.ok(await page.locator('#after').isHidden(), 'and no preview is left');
    await page.fill('#steps', '');
    await page.selectOption('#model', 'paintbox-lcm');
    await make(page);
    t.match(await (await fetch(`${url}/metrics`)).text(), /outcome="cancelled"[^\n]* 1\n/, 'the server has stopped it');
  });

  await browse(t, 'errors are sentences beside the fields that they name', url, async (t, page) => {
    await ready(page);
    await page.click('#more summary');
    const cases: [field: string, value: string, place: string, sentence: RegExp][] = [
      ['n', '99', 'n', /^n is 99; it must be at most 8\.$/],
      ['background', 'blurple', 'background', /^background is "blurple"; it must be #rgb/],
      ['quality', '0', 'quality', /^quality is 0; it must be at least 1\.$/],
      ['steps', '1.5', 'steps', /^steps is 1\.5; it must be an integer\.$/],
    ];
    for (const [field, value, place, sentence] of cases) {
      await page.fill(`#${field}`, value);
      await page.click('#more summary'); // what is folded opens for its error
      await page.click('#make');
      const error = page.locator(`[data-field~=${place}] > .error`);
      await error.waitFor();
      t.match(await error.textContent(), sentence, field);
      t.equal(await page.getAttribute(`#${field}`, 'aria-describedby'), `error-${field}`);
      t.equal(await page.evaluate('document.activeElement.id'), field, 'the field has the focus');
      t.ok(await page.locator('#error').isHidden(), 'it is said once');
      await page.fill(`#${field}`, '');
    }
    await page.fill('#x_values', '0, 120');
    await page.click('#sweep');
    t.equal(await page.textContent('#error-x_values'), '120 is no number from 0 to 100.');
    t.equal(await page.locator('.error:visible').count(), 1, 'the errors of before are gone');
    await drop(page, Buffer.from('no picture'), 'notes.txt', 'text/plain');
    t.match(await page.textContent('#unseen'), 'This browser cannot show notes.txt');
    await page.click('#make');
    await page.locator('#error-image').waitFor();
    t.match(await page.textContent('#error-image'), /not a picture|format/);
  });

  await browse(t, 'a generator brings what nobody chose, and its own prompt', url, async (t, page) => {
    await ready(page);
    const shown = () => Promise.all(['prompt', 'influence', 'guidance'].map((id) => page.inputValue(`#${id}`)));
    t.strictSame(await shown(), ['comic', '60', '7.5']);
    await page.selectOption('#model', { label: 'Stained glass' });
    t.strictSame(await shown(), ['', '64', '7.5']);
    await page.fill('#influence', '30');
    await page.fill('#prompt', 'dark');
    await page.selectOption('#model', { label: 'Comic' });
    t.strictSame(await shown(), ['dark', '30', '7.5'], 'what somebody chose stays');
    t.equal(await page.getAttribute('#prompt', 'placeholder'), 'comic, …, vivid');
    await make(page);
    t.match(await page.textContent('#caption'), 'dark · influence 30 · guidance 7.5');
    await page.selectOption('#model', 'paintbox-lcm');
    await page.fill('#influence', '80');
    await page.click('#adopt');
    t.strictSame([await page.inputValue('#model'), ...(await shown())], ['paintbox-comic', 'dark', '30', '7.5']);
  });

  await browse(t, 'words that the model does not know are told beside the prompt', url, async (t, page) => {
    await ready(page);
    await page.fill('#prompt', 'a neon dragon');
    await make(page);
    t.match(await page.textContent('[data-field=prompt] > .note'), /Not known: dragon\.$/);
  });

  await browse(t, "the contact sheet's cells give their values", url, async (t, page) => {
    await ready(page);
    await page.click('#sweep');
    await page.locator('#sheet').waitFor({ timeout: 120_000 });
    const cells = page.locator('#cells button');
    t.equal(await cells.count(), 12);
    await cells.nth(4).click();
    t.equal(await page.inputValue('#influence'), '0');
    t.equal(await page.inputValue('#guidance'), '7.5');
    t.ok(await page.isChecked('#lock'), 'the seed of the sheet is kept');
    const { bytes } = await download(page);
    await make(page);
    t.ok((await download(page)).bytes.equals(bytes), 'Make gives what the cell shows');
  });

  const root = t.testdir();
  const lorasDir = join(root, 'loras');
  mkdirSync(lorasDir);
  writeCheckpointFolder(join(root, 'models/tiny'), 'sd');
  writeFileSync(join(root, 'models/tiny/img2img.json'), JSON.stringify({ size: { native: 64, min: 64, max: 64 } }));
  const tiny = await startApp(t, {
    MODELS_DIR: join(root, 'models'),
    LORAS_DIR: lorasDir,
    CACHE_DIR: join(root, 'cache'),
  });

  await browse(t, 'LoRAs are chips where the server lists some that fit the model', tiny.url, async (t, page) => {
    await page.locator('#model option').first().waitFor({ state: 'attached' });
    t.ok(await page.locator('#loras').isHidden(), 'none is listed');
    writeLora(join(lorasDir, 'ink.safetensors'), 'kohya', { 'modelspec.trigger_phrase': 'ink wash' });
    writeLora(join(lorasDir, 'xl.safetensors'), 'kohya-xl');
    tiny.engine.look();
    for (;;) {
      const { loras } = (await (await fetch(`${tiny.url}/loras`)).json()) as { loras: object[] };
      if (loras.length === 2) break;
      await page.waitForTimeout(50);
    }
    await page.dispatchEvent('#model', 'change');
    const chips = page.locator('#lora-chips button');
    await chips.first().waitFor();
    t.strictSame(await chips.allTextContents(), ['ink'], 'one of another family is not offered');
    await chips.first().click();
    t.equal(await page.inputValue('#lora'), 'ink');
    t.equal(await chips.first().getAttribute('aria-pressed'), 'true');
    await page.fill('#lora', 'ink:0.5');
    await page.click('#more summary');
    await page.fill('#steps', '2');
    await make(page);
    t.match(await copied(page, 'curl'), 'lora=ink:0.5');
    await page.fill('#lora', 'pencil');
    await page.click('#make');
    await page.locator('[data-field~=lora] > .error').waitFor();
    t.match(await page.textContent('[data-field~=lora] > .error'), /pencil/, 'an unknown one is told beside the field');
    await page.fill('#lora', 'ink:0.5');
    await chips.first().click();
    t.equal(await page.inputValue('#lora'), '', 'a chip takes its LoRA out, scale and all');
  });
});
