// The two body forms -> one body of plain values, plus the bytes of the picture. Validation comes after, the same for both.

import type {} from '@fastify/multipart'; // its request methods
import type { FastifyRequest } from 'fastify';
import { fieldProblem, notAField, Problem } from '../problems/problems.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Bytes of the fields that are pictures, by field. */
    pictures: Record<string, Buffer>;
  }
}

/** JSON Schema types of the fields, by name. */
export type FieldTypes = Readonly<Record<string, { readonly type?: string }>>;

/**
 * Replaces request.body by plain values: numbers for the form's number fields, the picture's bytes in request.pictures.
 * @param pictureFields names of the fields that hold a picture
 * @param maxBytes of one picture
 */
export async function readBody(
  request: FastifyRequest,
  fields: FieldTypes,
  pictureFields: readonly string[],
  maxBytes: number,
): Promise<void> {
  request.pictures = {};
  if (request.isMultipart()) return readForm(request, fields, pictureFields, maxBytes);
  const body = request.body;
  if (body === undefined) {
    throw new Problem('unsupported_media_type', 'Send the request as multipart/form-data or application/json.');
  }
  if (typeof body !== 'object' || body === null) return;
  for (const field of pictureFields) {
    const value = (body as Record<string, unknown>)[field];
    if (typeof value !== 'string') continue;
    request.pictures[field] = pictureFromBase64(field, value, maxBytes);
  }
}

async function readForm(
  request: FastifyRequest,
  fields: FieldTypes,
  pictureFields: readonly string[],
  maxBytes: number,
): Promise<void> {
  const body: Record<string, unknown> = {};
  const seen = new Set<string>();
  try {
    for await (const part of request.parts()) {
      const field = part.fieldname;
      const isPicture = pictureFields.includes(field);
      if (!Object.hasOwn(fields, field)) throw fieldProblem('invalid_request', field, `${field} ${notAField}.`);
      if (seen.has(field)) throw fieldProblem('invalid_request', field, `${field} is there more than once.`);
      seen.add(field);
      if (part.type === 'file') {
        if (!isPicture) throw fieldProblem('invalid_request', field, `${field} is a file; it must be a text field.`);
        const bytes = await part.toBuffer().catch((error) => {
          if (error.code !== 'FST_REQ_FILE_TOO_LARGE') throw error;
          throw tooLarge(field, maxBytes);
        });
        // Forms send an unfilled file input as an empty file.
        if (bytes.length === 0 && !part.filename) continue;
        request.pictures[field] = bytes;
        body[field] = part.filename ?? '';
      } else {
        if (isPicture && part.value === '') continue; // how the try-it console sends a file that was not chosen
        if (isPicture) throw fieldProblem('invalid_request', field, `${field} is a text field; it must be a file.`);
        if (part.valueTruncated) throw fieldProblem('invalid_request', field, `${field} is too long.`);
        const value = coerce(String(part.value), fields[field]?.type);
        if (value !== undefined) body[field] = value;
      }
    }
  } catch (error) {
    // What is left of the body is read and dropped: a client that still sends would not see the answer otherwise.
    request.raw.unpipe();
    request.raw.resume();
    if (error instanceof Problem || (error as { statusCode?: number }).statusCode !== undefined) throw error;
    throw new Problem('invalid_request', `The multipart body is malformed: ${(error as Error).message}.`);
  }
  request.body = body;
}

function tooLarge(field: string, maxBytes: number): Problem {
  return fieldProblem('upload_too_large', field, `${field} is too large; at most ${maxBytes} bytes are accepted.`);
}

/** Text of a form -> what its field is. An empty value counts as absent, as forms send it; what is no number stays text. */
export function coerce(text: string, type: string | undefined): string | number | boolean | undefined {
  if (text.trim() === '') return undefined;
  if (type === 'boolean') return text === 'true' || (text === 'false' ? false : text);
  if (type !== 'number' && type !== 'integer') return text;
  const number = /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
  return Number.isFinite(number) ? number : text;
}

/** @param value base64, or a data: URI with it @throws Problem */
export function pictureFromBase64(field: string, value: string, maxBytes: number): Buffer {
  const data = value.replace(/^data:[^,]*;base64,/, '').replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(data)) {
    throw fieldProblem('invalid_request', field, `${field} must be a picture as base64 or as a data: URI with base64.`);
  }
  const bytes = Buffer.from(data, 'base64');
  if (bytes.length > maxBytes) throw tooLarge(field, maxBytes);
  return bytes;
}
