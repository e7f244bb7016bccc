// Fields of another service's API that are taken for the sake of its clients and change nothing here: a header names them.

import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';

/** For the OpenAPI document. */
export const ignoredFieldsHeader = {
  'Img2img-Ignored-Fields': Type.String({
    description:
      'Fields of the request that had no effect, comma-separated; absent when there is none. After twenty names the number of the others, such as `+3`.',
  }),
};

/** Told by name. */
const mostNames = 20;

export function writeIgnoredFields(reply: FastifyReply, fields: readonly string[]): void {
  if (fields.length === 0) return;
  // A client's own names may hold anything, halves of characters too, and be many; a header may not.
  const names = fields.slice(0, mostNames).map((name) => encodeURIComponent(String(Buffer.from(name.slice(0, 100)))));
  const more = fields.length - names.length;
  reply.header('img2img-ignored-fields', [...names, ...(more > 0 ? [`+${more}`] : [])].join(', '));
}
