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
    if (code === 'not_found' || code === 'method_not_allowed') continue; // about routes
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

t.test('every text that a request may have says how long it may be', async (t) => {
  interface Schema {
    readonly type?: string;
    readonly enum?: readonly string[];
    readonly format?: string;
    readonly pattern?: string;
    readonly maxLength?: number;
    readonly $ref?: string;
  }
  interface Operation {
    readonly parameters?: readonly { readonly name: string; readonly schema: Schema }[];
    readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  }
  const document = JSON.parse(readFileSync(documentPath, 'utf8')) as {
    paths: Record<string, Record<string, Operation>>;
    components: { schemas: Record<string, Schema> };
  };
  /** Pictures: `MAX_UPLOAD_BYTES` is their limit. */
  const isPicture = (path: string, { format }: Schema) =>
    format === 'binary' || /\/(image|mask|image_url|init_images\/items)$/.test(path);
  const isBounded = ({ maxLength, enum: values, pattern = '' }: Schema) =>
    maxLength !== undefined || values !== undefined || /^\^[^*+]+\$$/.test(pattern);
  const texts: string[] = [];
  const unbounded: string[] = [];
  const walk = (value: unknown, path: string) => {
    if (typeof value !== 'object' || value === null || path.endsWith('/examples')) return;
    const schema = value as Schema;
    if (schema.$ref) walk(document.components.schemas[schema.$ref.split('/').pop()!], path);
    if (schema.type === 'string') {
      texts.push(path);
      if (!isPicture(path, schema) && !isBounded(schema)) unbounded.push(path);
    }
    for (const [key, inner] of Object.entries(value)) walk(inner, `${path}/${key}`);
  };
  for (const [route, operations] of Object.entries(document.paths)) {
    for (const [method, { parameters = [], requestBody }] of Object.entries(operations)) {
      for (const { name, schema } of parameters) walk(schema, `${method} ${route} ${name}`);
      for (const [type, { schema }] of Object.entries(requestBody?.content ?? {})) walk(schema, `${route} ${type}`);
    }
  }
  t.strictSame(unbounded, []);
  for (const [name, found] of [
    ['a body', /^\/img2img application\/json.*\/model$/],
    ['a form', /^\/img2img multipart.*\/model$/],
    ["a facade's nested field", /sd_model_checkpoint$/],
    ['a list', /x_values\/items/],
    ['a reference', /image_url$/],
    ['a path', /^get \/models\/\{model\} model$/],
    ['a query', /^get \/sdapi\/v1\/progress id_task$/],
    ['a header', /x-request-timeout-ms$/],
  ] as const)
    t.ok(
      texts.some((path) => found.test(path)),
      `looks at ${name}`,
    );
});

t.test('the document holds nothing that generators of clients trip over', async (t) => {
  interface Schema {
    readonly type?: string | string[];
    readonly enum?: readonly unknown[];
    readonly maximum?: number;
    readonly format?: string;
    readonly properties?: Record<string, Schema>;
    readonly content?: Record<string, unknown>;
  }
  const tripsOver: readonly [string, (schema: Schema, path: string) => boolean][] = [
    ['a value that can only be null', ({ type }, path) => type === 'null' && !/\/(anyOf|oneOf)\/\d+$/.test(path)],
    ['a choice of what is no text', ({ enum: values }) => values?.some((value) => typeof value !== 'string') ?? false],
    [
      'an integer beyond 32 bits that does not say so',
      ({ type, maximum = 0, format }) => type === 'integer' && maximum > 2 ** 31 - 1 && format !== 'int64',
    ],
    [
      'fields whose names differ in signs only',
      ({ properties }) => {
        const names = Object.keys(properties ?? {}).map((name) => name.replace(/[^a-z0-9]/gi, '').toLowerCase());
        return new Set(names).size < names.length;
      },
    ],
    [
      'a form that is not the first of several body types',
      ({ content }, path) =>
        path.endsWith('/requestBody') && Object.keys(content ?? {}).indexOf('multipart/form-data') > 0,
    ],
    ['a list of types', ({ type }) => Array.isArray(type)],
  ];
  const faults = (document: unknown) => {
    const found: string[] = [];
    const walk = (value: unknown, path: string) => {
      if (typeof value !== 'object' || value === null || path.endsWith('/examples')) return;
      for (const [what, trips] of tripsOver) if (trips(value as Schema, path)) found.push(`${path}: ${what}`);
      for (const [key, inner] of Object.entries(value)) walk(inner, `${path}/${key.replaceAll('/', '~1')}`);
    };
    walk(document, '#');
    return found;
  };
  t.strictSame(faults(JSON.parse(readFileSync(documentPath, 'utf8'))), []);
  for (const [what, spoiled] of [
    ['null', { schema: { type: 'null' } }],
    ['enum', { type: 'boolean', enum: [true] }],
    ['int64', { type: 'integer', maximum: 2 ** 32 }],
    ['names', { properties: { image: {}, 'image[]': {} } }],
    ['lists of types', { type: ['string', 'array'] }],
    ['types', { requestBody: { content: { 'application/json': {}, 'multipart/form-data': {} } } }],
  ] as const)
    t.equal(faults(spoiled).length, 1, `finds ${what}`);
});
