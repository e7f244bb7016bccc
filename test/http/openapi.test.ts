import { readFileSync } from 'node:fs';
import t from 'tap';
import { documentPath, openapiDocument } from '../../openapi/document.js';
import { problemCodes } from '../../src/http/problems.js';

t.test('openapi.json is what the app serves (npm run docs:openapi)', async (t) => {
  t.equal(readFileSync(documentPath, 'utf8'), await openapiDocument());
});

t.test('every problem code stands at its status, and no field with a default is required', async (t) => {
  const { paths } = JSON.parse(readFileSync(documentPath, 'utf8'));
  const { responses, requestBody } = paths['/img2img'].post;
  for (const [code, [status]] of Object.entries(problemCodes)) {
    if (code === 'not_found') continue; // about routes
    t.match(responses[status]?.description, new RegExp(`\`${code}\``), `${code} at ${status}`);
  }
  for (const { schema } of Object.values(requestBody.content) as { schema: { required: string[] } }[]) {
    t.strictSame(schema.required, ['image']);
  }
});
