import { writeFileSync } from 'node:fs';
import sharp from 'sharp';
import t from 'tap';
import { cottage, form, startApp } from '../start.js';

const quick = { steps: 2, seed: 7, width: 128, height: 128 };

interface SheetJson {
  axes: Record<string, { field: string; values: unknown[] }>;
  cells: { x: unknown; y?: unknown; b64_json: string; seed: number; parameters: Record<string, unknown> }[];
}

t.test('POST /img2img/sheet', async (t) => {
  const { url } = await startApp(t, { MAX_SHEET_CELLS: '6' });
  const post = (fields: Record<string, string | number>, accept = '*/*') =>
    fetch(`${url}/img2img/sheet`, { method: 'POST', body: form(cottage, fields), headers: { accept } });
  const postJson = (body: object, accept = 'application/json') =>
    fetch(`${url}/img2img/sheet`, {
      method: 'POST',
      headers: { accept, 'content-type': 'application/json' },
      body: JSON.stringify({ image: cottage.toString('base64'), ...body }),
    });

  await t.test('two axes make a picture of all pictures, with titles', async (t) => {
    const response = await post({
      ...quick,
      prompt: 'watercolor painting <&>',
      x_field: 'influence',
      x_values: '0 | 25|50',
      y_field: 'guidance',
      y_values: '1|7.5',
    });
    t.equal(response.status, 200);
    t.equal(response.headers.get('content-type'), 'image/png');
    const bytes = Buffer.from(await response.arrayBuffer());
    const { width, height, xmp } = await sharp(bytes).metadata();
    t.ok(width! > 3 * 128 && height! > 3 * 128, `${width} x ${height}`);
    t.match(xmp?.toString(), 'compositeWithTrainedAlgorithmicMedia');
    t.match(response.headers.get('server-timing'), /denoise;dur=/);
    if (process.env.SCREENSHOT) writeFileSync(process.env.SCREENSHOT, bytes);
  });

  await t.test('as JSON its cells are what single requests give', async (t) => {
    const sheet = { x_field: 'steps', x_values: [2, 4], y_field: 'prompt', y_values: ['comic', 'ink drawing'] };
    const { steps: _, ...rest } = quick;
    const response = await postJson({ ...rest, ...sheet });
    t.equal(response.status, 200);
    const { axes, cells } = (await response.json()) as SheetJson;
    t.strictSame(axes, { x: { field: 'steps', values: [2, 4] }, y: { field: 'prompt', values: sheet.y_values } });
    t.strictSame(
      cells.map(({ x, y, seed }) => [x, y, seed]),
      [
        [2, 'comic', 7],
        [4, 'comic', 7],
        [2, 'ink drawing', 7],
        [4, 'ink drawing', 7],
      ],
    );
    const single = await fetch(`${url}/img2img`, {
      method: 'POST',
      body: form(cottage, { ...quick, steps: 4, prompt: 'ink drawing' }),
    });
    t.equal(cells[3]!.b64_json, Buffer.from(await single.arrayBuffer()).toString('base64'));
    t.match(cells[1]!.parameters, { steps: 4, steps_run: 3 });
  });

  await t.test('every field of the list can be an axis; an absent seed is one for all', async (t) => {
    const axes: [field: string, values: string][] = [
      ['strength', '0|1'],
      ['influence', '10|90'],
      ['guidance', '1|3'],
      ['prompt', 'comic|'],
      ['negative_prompt', 'dark|12'],
      ['seed', '1|2'],
      ['steps', '1|2'],
      ['scheduler', 'ddim|euler'],
      ['model', 'paintbox|paintbox'],
    ];
    for (const [field, values] of axes) {
      const { seed: _, steps, ...rest } = quick;
      const fields = { ...rest, ...(field !== 'steps' && { steps }), x_field: field, x_values: values };
      const response = await post(fields, 'application/json');
      t.equal(response.status, 200, field);
      const { cells } = (await response.json()) as SheetJson;
      t.equal(cells.length, 2, field);
      if (field !== 'seed') t.equal(cells[0]!.seed, cells[1]!.seed, `${field}: seed`);
    }
  });

  await t.test('a dry run says what would run', async (t) => {
    const response = await post({ ...quick, x_field: 'guidance', x_values: '1|2|3', dry_run: 'true' });
    t.match(await response.json(), { dry_run: true, images: [{}, {}, {}] });
  });

  await t.test('what cannot be is a problem that names the value', async (t) => {
    const one = { x_field: 'guidance', x_values: [1, 2] };
    const cases: [name: string, body: object, status: number, pointer: string][] = [
      ['no axis', {}, 400, '#/x_field'],
      ['a value out of range', { x_field: 'strength', x_values: [0.5, 2] }, 400, '#/x_values/1'],
      ['a text for a number', { x_field: 'steps', x_values: ['5'] }, 400, '#/x_values/0'],
      ['no scheduler', { x_field: 'scheduler', x_values: ['plms'] }, 400, '#/x_values/0'],
      ['no values', { x_field: 'steps', x_values: [] }, 400, '#/x_values'],
      ['too many pictures', { ...one, y_field: 'steps', y_values: [1, 2, 3, 4] }, 400, '#/y_values'],
      ['half an axis', { ...one, y_field: 'steps' }, 400, '#/y_values'],
      ['one field twice', { ...one, y_field: 'guidance', y_values: [3] }, 400, '#/y_field'],
      ['a field that is an axis', { ...one, guidance: 5 }, 400, '#/guidance'],
      ['n', { ...one, n: 2 }, 400, '#/n'],
      ['a model that is not there', { x_field: 'model', x_values: ['sd3'] }, 404, '#/model'],
    ];
    for (const [name, body, status, pointer] of cases) {
      const response = await postJson({ ...quick, steps: undefined, ...body });
      const problem = (await response.json()) as { errors: { pointer: string }[]; detail: string };
      t.equal(response.status, status, `${name}: ${problem.detail}`);
      t.ok(
        problem.errors.some((error) => error.pointer === pointer),
        `${name}: ${JSON.stringify(problem.errors)}`,
      );
    }
    t.equal((await post({ ...quick, x_field: 'guidance', x_values: '1' }, 'text/html')).status, 406);
  });
});
