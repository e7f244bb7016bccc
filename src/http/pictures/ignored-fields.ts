// Fields of another service's API that are taken for the sake of its clients and change nothing here: a header names them.

import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';

/** For the OpenAPI document. */
export const ignoredFieldsHeader = {
  'Img2img-Ignored-Fields': Type.String({
    description: 'Fields of the request that had no effect, comma-separated; absent when there is none.',
  }),
};

export function writeIgnoredFields(reply: FastifyReply, fields: readonly string[]): void {
  // A client's own names may hold anything; a header may not.
  if (fields.length > 0) reply.header('img2img-ignored-fields', fields.map(encodeURIComponent).join(', '));
}
