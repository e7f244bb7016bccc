import t from 'tap';
import { problemCodes } from '../../src/http/problems/problem-codes.js';
import { cottage, startApp } from '../start.js';

t.test('problems', async (t) => {
  const { url } = await startApp(t, { MODELS_DIR: 'test/reference' });
  const post = async (path: string, body: object) => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    return (await fetch(`${url}${path}`, init)).json() as Promise<{ detail: string; errors: { pointer: string }[] }>;
  };

  await t.test('name the field and the value that were sent, however deep', async (t) => {
    const image = cottage.toString('base64');
    for (const [path, body, detail, pointer] of [
      ['/img2img', { image, strength: '0.5' }, 'strength is "0.5"; it must be a number.', '#/strength'],
      ['/img2img', { image, steps: [1] }, 'steps is a list; it must be an integer.', '#/steps'],
      ['/img2img', { image, prompt: { a: 1 } }, 'prompt is an object; it must be a string.', '#/prompt'],
      ['/img2img', { image, 'a/b': 1 }, 'a/b is not a field of this request.', '#/a~1b'],
      [
        '/img2img',
        { image, prompt: 'p'.repeat(3000) },
        /prompt is "p+… \(3000 characters\); it must have at most/,
        '#/prompt',
      ],
      [
        '/img2img/sheet',
        { image, x_field: 'seed', x_values: [{}] },
        /x_values\.0 is an object; it must be/,
        '#/x_values/0',
      ],
    ] as const) {
      const problem = await post(path, body);
      t.match(problem.detail, detail);
      t.equal(problem.errors[0]!.pointer, pointer);
    }
    const query = await fetch(`${url}/sdapi/v1/progress?skip_current_image=perhaps`);
    t.match(await query.json(), { detail: 'skip_current_image is "perhaps"; it must be true or false.' });
  });

  await t.test('their type leads to a page that says what it means', async (t) => {
    const { type } = (await (await fetch(`${url}/nothing`)).json()) as { type: string };
    t.equal(type, '/problems/not_found');
    for (const [code, { title, meaning }] of Object.entries(problemCodes)) {
      const page = await fetch(`${url}/problems/${code}`);
      t.equal(page.status, 200);
      t.match(page.headers.get('content-type'), 'text/html');
      const text = await page.text();
      for (const part of [code, title, meaning]) t.ok(text.includes(part), part);
    }
    t.equal((await fetch(`${url}/problems/toString`)).status, 404);
  });
});
