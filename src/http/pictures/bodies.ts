// The two body forms of a request for pictures, from the table of fields.

import { type TSchema, Type } from 'typebox';
import type { Config } from '../../config.js';
import { readable } from '../../image/host/picture-reader.js';
import type { FieldTable } from './field.js';

/** Which of a table's fields a route has. */
export type Which = (field: FieldTable[string], name: string) => boolean;

/** The schemas of a table's fields, each of which may be left out. */
export function schemasOf(table: FieldTable, config: Config, which: Which = () => true): Record<string, TSchema> {
  const entries = Object.entries(table).filter(([name, field]) => which(field, name));
  return Object.fromEntries(entries.map(([name, { schema }]) => [name, Type.Optional(withRange(schema(config)))]));
}

/** The same in a form, which has a text alone where JSON may have a list too. */
export function inForm<Schemas extends Record<string, TSchema>>(schemas: Schemas): Schemas {
  const entries = Object.entries(schemas).map(([name, schema]) => {
    const {
      type,
      items: _,
      maxItems: __,
      ...text
    } = schema as TSchema & Record<'type' | 'items' | 'maxItems', unknown>;
    return [name, Array.isArray(type) ? Type.Optional({ ...text, type: 'string' } as TSchema) : schema];
  });
  return Object.fromEntries(entries);
}

/** Says range and default in the description too: the console shows them nowhere else. */
function withRange(schema: TSchema): TSchema {
  const { minimum, maximum, maxLength, default: initial, description } = schema as Record<string, unknown>;
  const said = [
    ...(minimum !== undefined && maximum !== undefined ? [`From ${minimum} to ${maximum}.`] : []),
    ...(minimum !== undefined && maximum === undefined ? [`At least ${minimum}.`] : []),
    ...(maxLength !== undefined ? [`At most ${maxLength} characters.`] : []),
    ...(initial !== undefined && initial !== '' ? [`Default: \`${initial}\`.`] : []),
  ];
  return { ...schema, description: [description, ...said].join(' ') } as TSchema;
}

const maskDescription =
  "What is repainted: a picture of the starter's proportions, white where it is repainted, black where the starter stays as it is, grey for soft edges. Transparent counts as black.";

/** The pictures of a multipart form, as file parts. */
export const formPictures = ({ MAX_UPLOAD_BYTES, MAX_INPUT_PIXELS }: Config) => ({
  image: Type.String({
    format: 'binary',
    description: `The starter picture: ${readable}, at most ${MAX_UPLOAD_BYTES} bytes and ${MAX_INPUT_PIXELS} pixels.`,
  }),
  mask: Type.Optional(Type.String({ format: 'binary', description: maskDescription })),
});

/** The same in JSON, as base64. */
export const jsonPictures = {
  image: Type.String({ minLength: 1, description: 'The starter picture as base64 or as a `data:` URI.' }),
  mask: Type.Optional(
    Type.String({ minLength: 1, description: `${maskDescription} As base64 or as a \`data:\` URI.` }),
  ),
};

/** A body of these fields and no others. @param example that the console sends */
export const bodyOf = (properties: Record<string, TSchema>, example?: object) =>
  Type.Object(properties, { additionalProperties: false, ...(example && { examples: [example] }) });

/** The pictures first and last, as a form shows them. */
export const between = (
  { image, mask }: { readonly image: TSchema; readonly mask: TSchema },
  properties: Record<string, TSchema>,
) => ({ image, ...properties, mask });
