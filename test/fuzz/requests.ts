// Arbitrary requests, derived from the OpenAPI document: mostly what a schema allows, mutated in its values, its fields, its form and its bytes.

import fc from 'fast-check';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly description?: string;
}

interface Operation {
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, { readonly content?: object }>>;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
}

export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** Ready to be sent. */
export interface FuzzRequest {
  readonly method: string;
  /** Of the document, and as it is sent. */
  readonly path: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
  /** When the client leaves, in ms after it has come. */
  readonly leavesAfterMs: number | undefined;
}

/** Values that parsers trip over. */
const odd = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    '',
    ' ',
    '0',
    '-0',
    '1e999',
    'NaN',
    'Infinity',
    '0x10',
    '1,5',
    '\u0000',
    '\ud800',
    '𝕏'.repeat(50),
    '__proto__',
    'constructor',
    '../../etc/passwd',
    '%00',
    'data:image/png;base64,',
    'data:image/png;base64,====',
    'https://example.com/a.png',
    [],
    {},
    [[]],
    -1,
    0,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    1e308,
    0.1 + 0.2,
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.jsonValue({ maxDepth: 2 }),
  fc.integer({ min: 1, max: 4 }).map((thousands) => 'x'.repeat(thousands * 1000)),
);

/**
 * @param pictures good and bad ones
 * @param costly fields whose large values only cost time: an upper bound for each
 */
export function requests(
  document: Document,
  pictures: readonly Buffer[],
  costly: Readonly<Record<string, number>>,
): fc.Arbitrary<FuzzRequest> {
  const picture = fc.constantFrom(...pictures);

  const resolved = (schema: Schema): Schema => {
    const name = schema.$ref?.split('/').at(-1);
    return name === undefined ? schema : (document.components.schemas[name] ?? {});
  };

  /** What the schema allows, or nearly. */
  const valid = (given: Schema, name: string): fc.Arbitrary<unknown> => {
    const schema = resolved(given);
    const known = [...(schema.examples ?? []), ...(schema.default === undefined ? [] : [schema.default])];
    if (known.length > 0 && schema.enum === undefined) {
      const { examples: _, default: __, ...rest } = schema;
      return fc.oneof(fc.constantFrom(...known), valid(rest, name));
    }
    if (schema.const !== undefined) return fc.constant(schema.const);
    if (schema.enum) return fc.constantFrom(...schema.enum);
    const branches = schema.anyOf ?? schema.oneOf;
    if (branches) return fc.oneof(...branches.map((branch) => valid(branch, name)));
    switch (schema.type) {
      case 'integer':
      case 'number': {
        const min = schema.minimum ?? -1000;
        const max = Math.max(min, Math.min(schema.maximum ?? 4096, costly[name] ?? Infinity));
        return schema.type === 'integer'
          ? fc.oneof(fc.integer({ min: Math.ceil(min), max: Math.floor(max) }), fc.constantFrom(min, max))
          : fc.oneof(fc.double({ min, max, noNaN: true }), fc.constantFrom(min, max));
      }
      case 'boolean':
        return fc.boolean();
      case 'array':
        return fc.array(valid(schema.items ?? {}, name), {
          minLength: schema.minItems ?? 0,
          maxLength: Math.min(schema.maxItems ?? 3, 3),
        });
      case 'object':
        return schema.properties
          ? fields(schema)
          : fc.dictionary(fc.string({ maxLength: 10 }), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 });
      case 'string':
        if (schema.format === 'binary') return picture;
        if (/base64/.test(schema.description ?? '')) return picture.map((bytes) => bytes.toString('base64'));
        if (schema.pattern) return fc.stringMatching(new RegExp(schema.pattern));
        return fc.oneof(
          fc.string({ unit: 'grapheme', maxLength: Math.min(schema.maxLength ?? 200, 200) }),
          fc.constant(name === 'model' ? 'tiny' : 'watercolor painting'),
        );
      default:
        return fc.jsonValue({ maxDepth: 1 });
    }
  };

  /** The required fields and some of the others, most of them valid, sometimes one that is missing, odd or unknown. */
  const fields = ({ properties = {}, required = [] }: Schema): fc.Arbitrary<Record<string, unknown>> => {
    const names = Object.keys(properties);
    const optional = names.filter((name) => !required.includes(name));
    const one = (name: string) => fc.tuple(fc.constant(name), valid(properties[name]!, name));
    return fc
      .tuple(
        fc.tuple(...required.map(one)),
        fc.subarray(optional, { maxLength: Math.min(6, optional.length) }).chain((some) => fc.tuple(...some.map(one))),
        fc.oneof(
          { weight: 3, arbitrary: fc.constant([]) },
          { weight: 2, arbitrary: fc.array(fc.tuple(fc.constantFrom('x', ...names), odd), { maxLength: 2 }) },
          { weight: 1, arbitrary: fc.array(fc.tuple(fc.string({ maxLength: 20 }), odd), { maxLength: 2 }) },
        ),
        fc.oneof(
          { weight: 9, arbitrary: fc.constant(undefined) },
          { weight: 1, arbitrary: fc.constantFrom('x', ...names) },
        ),
      )
      .map(([given, chosen, mutations, missing]) => {
        const entries = [...given, ...chosen, ...mutations].filter(([name]) => name !== missing);
        return Object.fromEntries(entries);
      });
  };

  const body = (operation: Operation) => {
    const content = Object.entries(operation.requestBody?.content ?? {});
    if (content.length === 0) return fc.constant({ type: undefined, bytes: undefined });
    return fc
      .constantFrom(...content)
      .chain(([type, { schema }]) =>
        fields(resolved(schema)).chain((values) =>
          type === 'multipart/form-data'
            ? fc.boolean().map((twice) => form(values, twice))
            : fc.constant({ type: 'application/json', bytes: Buffer.from(JSON.stringify(values)) }),
        ),
      )
      .chain((body) => fc.tuple(fc.constant(body), mutation))
      .map(([{ type, bytes }, mutate]) => ({ type, bytes: mutate(bytes) }));
  };

  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const posts = operations.filter(({ method }) => method === 'POST');

  return fc
    .oneof(
      { weight: 9, arbitrary: fc.constantFrom(...posts) },
      { weight: 1, arbitrary: fc.constantFrom(...operations) },
    )
    .chain(({ path, method, operation }) =>
      fc
        .record({
          body: body(operation),
          pathValue: fc.oneof(fc.constantFrom('tiny', 'x'), fc.string({ unit: 'binary', minLength: 1, maxLength: 30 })),
          query: fc.oneof(
            { weight: 4, arbitrary: fc.constant('') },
            { weight: 1, arbitrary: fc.webQueryParameters().map((text) => `?${text}`) },
          ),
          headers: headers(operation),
          contentType: fc.oneof(
            { weight: 19, arbitrary: fc.constant(undefined) },
            {
              weight: 1,
              arbitrary: fc.constantFrom('text/plain', 'application/json', 'multipart/form-data', 'image/png', 'x', ''),
            },
          ),
          leavesAfterMs: fc.oneof(
            { weight: 19, arbitrary: fc.constant(undefined) },
            { weight: 1, arbitrary: fc.integer({ min: 0, max: 50 }) },
          ),
        })
        .map(({ body, pathValue, query, headers, contentType, leavesAfterMs }) => {
          const type = contentType ?? body.type;
          return {
            method,
            path,
            url: path.replace(/\{\w+\}/, () => encodeURIComponent(pathValue.replace(/\p{Surrogate}/gu, '?'))) + query,
            headers: { ...headers, ...(type !== undefined && { 'content-type': type }) },
            body: body.bytes,
            leavesAfterMs,
          };
        }),
    );
}

const accepts = [
  '*/*',
  'image/png',
  'image/*;q=0.5, application/json',
  'application/json',
  'text/event-stream',
  'text/html',
  'image/avif;q=0',
  ',;=',
  '*/*;q=x',
];

const headers = ({ parameters = [] }: Operation): fc.Arbitrary<Record<string, string>> =>
  fc.record(
    {
      accept: fc.constantFrom(...accepts),
      'x-request-id': fc
        .string({ unit: 'binary-ascii', maxLength: 150 })
        .map((text) => text.replace(/[^\x20-\x7e]/g, '?')),
      ...(parameters.some(({ name }) => name === 'x-request-timeout-ms') && {
        'x-request-timeout-ms': fc.constantFrom('1', '20', '5000', '0', '-1', '1e3', '999999999999', 'soon'),
      }),
    },
    { requiredKeys: [] },
  );

/** What a client that is broken does to its bytes. */
const mutation = fc.oneof(
  { weight: 12, arbitrary: fc.constant((bytes: Buffer) => bytes) },
  {
    weight: 1,
    arbitrary: fc
      .double({ min: 0, max: 1, noNaN: true })
      .map((share) => (bytes: Buffer) => bytes.subarray(0, share * bytes.length)),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 })
      .map((flips) => (bytes: Buffer) => {
        const copy = Buffer.from(bytes);
        for (const [at, value] of flips) if (copy.length > 0) copy[at % copy.length] = value;
        return copy;
      }),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((random) => () => Buffer.from(random)) },
);

/** @param twice one field is there two times */
function form(values: Record<string, unknown>, twice: boolean): { type: string; bytes: Buffer } {
  const boundary = 'fuzz-3f9a';
  const parts = Object.entries(values).map(([name, value]) => {
    const isFile = Buffer.isBuffer(value);
    const quoted = name.replace(/[\r\n"]/g, '_');
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted}"${isFile ? '; filename="a.png"\r\nContent-Type: image/png' : ''}\r\n\r\n`;
    const content = isFile ? value : Buffer.from(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
    return Buffer.concat([Buffer.from(head), content, Buffer.from('\r\n')]);
  });
  if (twice && parts.length % 5 === 0) parts.push(...parts.slice(0, 1));
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    bytes: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
  };
}
