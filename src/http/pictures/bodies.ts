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
  return Object.fromEntries(entries.map(([name, { schema }]) => [name, Type.Optional(schema(config))]));
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

/** A body of these fields and no others. */
export const bodyOf = (properties: Record<string, TSchema>) => Type.Object(properties, { additionalProperties: false });
