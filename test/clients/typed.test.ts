// A client whose types are generated from openapi.json (npm run docs:openapi): that this file compiles is half of the test.

import createClient from 'openapi-fetch';
import sharp from 'sharp';
import t from 'tap';
import { cottage, startApp } from '../start.js';
import type { paths } from './openapi.js';

const quick = { steps: 2, width: 128, height: 128, seed: 7 };

t.test('openapi-fetch with the types of openapi-typescript', async (t) => {
  const { url } = await startApp(t, { API_KEYS: 'k' });
  const client = createClient<paths>({ baseUrl: url, headers: { authorization: 'Bearer k' } });

  await t.test('edits a picture, as JSON and as a form, to the same bytes', async (t) => {
    const body = { ...quick, image: cottage.toString('base64'), prompt: 'watercolor painting' };
    const json = await client.POST('/img2img', { body, parseAs: 'arrayBuffer' });
    t.equal(json.response.headers.get('img2img-seed'), '7');
    const form = await client.POST('/img2img', {
      body,
      bodySerializer: ({ image, ...fields }) => {
        const form = new FormData();
        form.append('image', new Blob([Buffer.from(image, 'base64')]), 'cottage.png');
        for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
        return form;
      },
      parseAs: 'arrayBuffer',
    });
    const bytes = Buffer.from(json.data as ArrayBuffer);
    t.match(await sharp(bytes).metadata(), { format: 'png', width: 128, height: 128 });
    t.ok(bytes.equals(Buffer.from(form.data as ArrayBuffer)));
  });

  await t.test('gets problems with a code', async (t) => {
    const { error, response } = await client.POST('/img2img', {
      body: { image: cottage.toString('base64'), strength: 1.5 },
    });
    t.equal(response.status, 400);
    t.equal(error?.code, 'invalid_request');
    t.strictSame(error?.errors, [{ pointer: '#/strength', detail: 'strength is 1.5; it must be at most 1.' }]);
    const wrongKey = await client.GET('/models', { headers: { authorization: 'Bearer wrong' } });
    t.equal(wrongKey.error?.code, 'unauthorized');
  });

  await t.test('lists the models', async (t) => {
    const { data } = await client.GET('/models');
    t.equal(data?.models[0]?.name, 'paintbox');
    const one = await client.GET('/models/{model}', { params: { path: { model: 'paintbox' } } });
    t.equal(one.data?.size?.multiple, 32);
  });
});
