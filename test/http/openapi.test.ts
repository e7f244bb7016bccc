import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { documentPath, openapiDocument } from '../../openapi/document.js';
import { problemCodes } from '../../src/http/problems/problem-codes.js';

t.test('openapi.json is what the app serves (npm run docs:openapi)', async (t) => {
  t.equal(readFileSync(documentPath, 'utf8'), await openapiDocument());
});

t.test('every problem code stands at its status, and no field with a default is required', async (t) => {
  const { paths } = JSON.parse(readFileSync(documentPath, 'utf8'));
  const { responses, requestBody } = paths['/img2img'].post;
  for (const [code, { status }] of Object.entries(problemCodes)) {
    if (code === 'not_found') continue; // about routes
    t.match(responses[status]?.description, new RegExp(`\`${code}\``), `${code} at ${status}`);
  }
  for (const { schema } of Object.values(requestBody.content) as { schema: { required: string[] } }[]) {
    t.strictSame(schema.required, ['image']);
  }
});

t.test('redocly and spectral find nothing to say against the document (npm run check:openapi)', async (t) => {
  const { error, output } = await new Promise<{ error: Error | null; output: string }>((resolve) => {
    execFile('npm', ['run', 'check:openapi'], (error, stdout, stderr) => resolve({ error, output: stdout + stderr }));
  });
  t.equal(error, null, output);
});

t.test('every operation but the probes says how a request can be wrong', async (t) => {
  const { paths } = JSON.parse(readFileSync(documentPath, 'utf8')) as {
    paths: Record<string, Record<string, { responses: object }>>;
  };
  for (const [path, operations] of Object.entries(paths)) {
    if (path === '/livez' || path === '/readyz') continue;
    for (const [method, { responses }] of Object.entries(operations)) {
      t.ok(
        Object.keys(responses).some((status) => status.startsWith('4')),
        `${method.toUpperCase()} ${path}`,
      );
    }
  }
});
